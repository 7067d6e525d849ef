-- The outcomes of idempotency_claim, one after the other.
-- First use: the work is the caller's.
SELECT outcome, attempt, token > 0 AS has_token, recovery_point,
	response_status, retry_after, created_at <= clock_timestamp() AS dated
FROM idempotency_claim('acme', 'order-1', '{"seat": 7}');

-- The claim is a committed lease now: a duplicate is told to come back.
SELECT outcome, token, attempt, response_status, retry_after
FROM idempotency_claim('acme', 'order-1', '{"seat": 7}');

-- Another request under the same key is a mistake of the client's, and that
-- is said even though the first is still running.
SELECT outcome, token, response_status, retry_after
FROM idempotency_claim('acme', 'order-1', '{"seat": 8}');

-- Completed, it is replayed for as long as it is kept.
SELECT idempotency_complete('acme', 'order-1', token, 201,
	'{"id": 1,  "seat":7}', '{"Location": "/orders/1"}')
FROM idempotency_keys WHERE key = 'order-1';
SELECT outcome, token, attempt, response_status, response_headers,
	response_body, response_bytes, retry_after
FROM idempotency_claim('acme', 'order-1', '{"seat": 7}');
SELECT outcome, response_status, response_body
FROM idempotency_claim('acme', 'order-1', '{"seat": 8}');

-- The same key of another tenant or in another scope is another key.
SELECT outcome FROM idempotency_claim('globex', 'order-1', '{"seat": 8}');
SELECT outcome FROM idempotency_claim('acme', 'order-1', '{"seat": 8}',
	scope => 'refunds');
SELECT tenant_id, scope, key FROM idempotency_keys ORDER BY 1, 2, 3;

-- What joins the names apart does not matter: these are three keys.
SELECT outcome FROM idempotency_claim('ab', 'c', scope => 'd');
SELECT outcome FROM idempotency_claim('a', 'c', scope => 'bd');
SELECT outcome FROM idempotency_claim('a', 'dc', scope => 'b');

-- A second claim in one transaction: the caller already has the key.
BEGIN;
SELECT outcome FROM idempotency_claim('acme', 'order-2');
SELECT outcome, retry_after FROM idempotency_claim('acme', 'order-2');
-- ... and is not made to wait for itself
SELECT outcome, retry_after
FROM idempotency_claim('acme', 'order-2', wait => '1 hour');
ROLLBACK;
SELECT outcome FROM idempotency_claim('acme', 'order-2');

-- Whoever is not given a key keeps no lock on it; whoever is, does.
BEGIN;
SELECT outcome FROM idempotency_claim('acme', 'order-1', '{"seat": 7}');
SELECT outcome FROM idempotency_claim('acme', 'order-1', '{"seat": 8}');
SELECT outcome FROM idempotency_claim('acme', 'order-2');
SELECT count(*) FROM pg_locks
WHERE locktype = 'advisory' AND pid = pg_backend_pid();
SELECT outcome FROM idempotency_claim('acme', 'order-3');
SELECT mode, granted FROM pg_locks
WHERE locktype = 'advisory' AND pid = pg_backend_pid();
COMMIT;

-- The lock is none that an application's advisory locks could meet.
SELECT DISTINCT objsubid > 2 AS own_class FROM (
	SELECT (idempotency_claim('acme', 'order-4')).outcome) AS claimed
CROSS JOIN LATERAL (
	SELECT objsubid FROM pg_locks
	WHERE outcome = 'claimed' AND locktype = 'advisory') AS locks;

TRUNCATE idempotency_keys;
