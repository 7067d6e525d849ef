-- A released key waits for the next claim of the same request.
SELECT token AS t1 FROM idempotency_claim('acme', 'k', '{"a": 1}') \gset
SELECT idempotency_checkpoint('acme', 'k', :t1, 'reserved', '{"seat": 7}') IS NOT NULL;
SELECT idempotency_release('acme', 'k', :t1);
SELECT state, lease_expires_at, recovery_point FROM idempotency_lookup('acme', 'k');

-- The token went with it.
\set VERBOSITY sqlstate
SELECT idempotency_release('acme', 'k', :t1);
SELECT idempotency_heartbeat('acme', 'k', :t1);
SELECT idempotency_checkpoint('acme', 'k', :t1, 'paid');
SELECT idempotency_complete('acme', 'k', :t1);
\set VERBOSITY default

SELECT outcome, attempt, recovery_point, recovery_data, token AS t2
FROM idempotency_claim('acme', 'k', '{"a": 1}') \gset
SELECT :'outcome', :attempt, :'recovery_point', :'recovery_data', :t2 > :t1;

-- A response that is to stay retryable releases as well: no 5xx is replayed.
SELECT idempotency_complete('acme', 'k', :t2, 503, 'try again');
SELECT state, response_status, response_body, completed_at
FROM idempotency_lookup('acme', 'k');
SELECT outcome, attempt, recovery_point, token AS t3
FROM idempotency_claim('acme', 'k', '{"a": 1}') \gset
SELECT :'outcome', :attempt, :'recovery_point', :t3 > :t2;
SELECT idempotency_complete('acme', 'k', :t3, 200, 'done');
SELECT outcome, response_body FROM idempotency_claim('acme', 'k', '{"a": 1}');

-- Within one transaction.
BEGIN;
SELECT token AS t4 FROM idempotency_claim('acme', 'tx') \gset
SELECT idempotency_release('acme', 'tx', :t4);
SELECT outcome, attempt FROM idempotency_claim('acme', 'tx');
COMMIT;

TRUNCATE idempotency_keys;
