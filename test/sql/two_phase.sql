-- A prepared transaction keeps its claims, their locks and their outcome.
BEGIN;
SELECT outcome, token AS t FROM idempotency_claim('acme', 'k', '{"a": 1}') \gset
PREPARE TRANSACTION 'idempotency_1';
SELECT outcome, response_status, retry_after FROM idempotency_claim('acme', 'k', '{"a": 1}');
SELECT outcome FROM idempotency_claim('acme', 'k', '{"a": 1}', wait => '20 ms');
ROLLBACK PREPARED 'idempotency_1';
SELECT outcome, attempt FROM idempotency_claim('acme', 'k', '{"a": 1}');

BEGIN;
SELECT outcome, token AS t2 FROM idempotency_claim('acme', 'k2', '{"a": 1}') \gset
SELECT idempotency_complete('acme', 'k2', :t2, 200, 'prepared');
PREPARE TRANSACTION 'idempotency_2';
SELECT outcome FROM idempotency_claim('acme', 'k2', '{"a": 1}');
COMMIT PREPARED 'idempotency_2';
SELECT outcome, response_body FROM idempotency_claim('acme', 'k2', '{"a": 1}');

TRUNCATE idempotency_keys;
