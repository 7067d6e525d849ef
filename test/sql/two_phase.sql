-- A prepared transaction keeps its claims, their locks and their outcome.
BEGIN;
SELECT outcome, token AS t FROM idempotency_claim('acme', 'k', '{"a": 1}') \gset
PREPARE TRANSACTION 'idempotency_1';
SELECT outcome, response_status, retry_after FROM idempotency_claim('acme', 'k', '{"a": 1}');
SELECT outcome FROM idempotency_claim('acme', 'k', '{"a": 1}', wait => '20 ms');
-- However short the wait, it ends; and no timeout of the session is lost.
SET statement_timeout = '1min';
SELECT outcome, count(*) FROM generate_series(1, 200) AS i,
LATERAL idempotency_claim('acme', 'k', '{"a": 1}', wait => i * interval '10 us') GROUP BY outcome;
RESET statement_timeout;
SHOW lock_timeout;
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
