-- Requests whose holder died, handed to a worker.
CREATE VIEW abandoned AS
SELECT tenant_id, scope, key, attempt, request, recovery_point, recovery_data
FROM idempotency_claim_abandoned();

SELECT outcome, token AS t1 FROM idempotency_claim('acme', 'a1', '{"n": 1}', keep_request => true) \gset
SELECT idempotency_checkpoint('acme', 'a1', :t1, 'charged', '{"ch": 1}') IS NOT NULL;
SET idempotency.keep_request = on;
SELECT outcome FROM idempotency_claim('acme', 'a2', '{"n": 2}', scope => 's');
SELECT outcome FROM idempotency_claim('globex', 'a3', '{"n": 3}');
RESET idempotency.keep_request;
-- Not these: no request, not kept, released, completed, expired.
SELECT outcome FROM idempotency_claim('acme', 'b1', keep_request => true);
SELECT outcome FROM idempotency_claim('acme', 'b2', '{"n": 2}');
SELECT idempotency_release('acme', 'b3', token) FROM idempotency_claim('acme', 'b3', '{"n": 3}', keep_request => true);
SELECT idempotency_complete('acme', 'b4', token) FROM idempotency_claim('acme', 'b4', '{"n": 4}', keep_request => true);
SELECT outcome FROM idempotency_claim('acme', 'b5', '{"n": 5}', keep_request => true, ttl => '40 min');

-- While a lease lasts, nothing is abandoned.
SELECT count(*) FROM abandoned;
SET idempotency.clock_offset = '45 min';
BEGIN;
SELECT * FROM abandoned;
-- They are the worker's now, under a lease of its own.
SELECT count(*) FROM abandoned;
SELECT outcome FROM idempotency_claim('acme', 'a1', '{"n": 1}');
\set VERBOSITY sqlstate
SAVEPOINT s;
SELECT idempotency_complete('acme', 'a1', :t1);
ROLLBACK TO s;
\set VERBOSITY default
ROLLBACK;

-- Narrowed, and a few at a time, the oldest first.
BEGIN;
SELECT key FROM idempotency_claim_abandoned(tenant_id => 'globex');
SELECT key FROM idempotency_claim_abandoned(scope => 's');
SELECT key FROM idempotency_claim_abandoned(tenant_id => 'acme', scope => 's');
ROLLBACK;
BEGIN;
SELECT key FROM idempotency_claim_abandoned(1);
SELECT key FROM idempotency_claim_abandoned(1);
SELECT key FROM idempotency_claim_abandoned(1, lease => '10 min');
SELECT key FROM idempotency_claim_abandoned(1);
SELECT lease_expires_at - clock_timestamp() < interval '56 min' AS short FROM idempotency_keys WHERE key = 'a3';
ROLLBACK;

-- The worker finishes the request with the token it got.
SELECT c.key, idempotency_complete(c.tenant_id, c.key, c.token, 200, 'by worker', scope => c.scope)
FROM idempotency_claim_abandoned() AS c;
RESET idempotency.clock_offset;
SELECT outcome, response_body FROM idempotency_claim('acme', 'a1', '{"n": 1}');

-- A completed key keeps its request no longer.
SELECT key, request FROM idempotency_keys WHERE request IS NOT NULL ORDER BY key;
-- A claim that resumes keeps it, and one that is to keep it, too.
SELECT idempotency_release('acme', 'b2', token) FROM idempotency_keys WHERE key = 'b2';
SELECT outcome FROM idempotency_claim('acme', 'b2', '{"n": 2.0}', keep_request => true);
SELECT outcome FROM idempotency_claim('acme', 'b3', '{"n": 3}');
SELECT key, request FROM idempotency_keys WHERE key IN ('b2', 'b3') ORDER BY key;

-- Each key once a call, however short the lease; and none lives shorter for it.
SELECT outcome FROM idempotency_claim('acme', 'once', '{"n": 9}', keep_request => true, lease => '0', ttl => '30 days');
SELECT key, attempt FROM idempotency_claim_abandoned(5, lease => '0');
SELECT expires_at - created_at AS kept FROM idempotency_lookup('acme', 'once');
SELECT outcome, attempt FROM idempotency_claim('acme', 'once', '{"n": 9}');
SELECT expires_at - created_at AS kept FROM idempotency_lookup('acme', 'once');

-- A row that no function of ours would have written is read all the same.
INSERT INTO idempotency_keys (tenant_id, scope, key, token, attempt, request, created_at, lease_expires_at, expires_at)
VALUES (repeat('t', 5000), '', 'k', 1, 1, '1', now(), now(), now() + interval '1h');
SELECT length(tenant_id), attempt FROM idempotency_claim_abandoned();

DROP VIEW abandoned;
TRUNCATE idempotency_keys;
