-- What is in the tables, a row for each tenant and scope, or source.
SELECT idempotency_complete('acme', 'done', token, scope => 'orders') FROM idempotency_claim('acme', 'done', scope => 'orders');
SELECT outcome FROM idempotency_claim('acme', 'running', scope => 'orders');
SELECT outcome FROM idempotency_claim('acme', 'lapsed', scope => 'orders', lease => '0');
SELECT idempotency_release('acme', 'released', token, 'orders') FROM idempotency_claim('acme', 'released', scope => 'orders');
SELECT outcome FROM idempotency_claim('acme', 'expired', ttl => '0');
SELECT outcome FROM idempotency_claim('globex', 'done');
SET idempotency.webhook_max_attempts = 1;
SELECT count(*) FROM generate_series(1, 5) AS i, webhook_inbox_record('acme', 'stripe', 'e' || i, stream => 'x');
SELECT webhook_inbox_fail('acme', 'stripe', event_id, token, 'x') FROM webhook_inbox_fetch(1);
SELECT webhook_inbox_complete('acme', 'stripe', event_id, token) FROM webhook_inbox_fetch(1);
SELECT count(*) FROM webhook_inbox_fetch(1);
SELECT outcome FROM webhook_inbox_record('globex', 'consumer', 'e', processed => true);
\pset null -
SELECT tenant_id, scope, in_progress, lapsed, released, completed, oldest < now() AS has_oldest,
	source, backlog, oldest_due, dead FROM idempotency_activity;
SELECT oldest = (SELECT created_at FROM idempotency_keys WHERE key = 'running') AS oldest_is_the_first_unfinished
FROM idempotency_activity WHERE scope = 'orders';
-- ... the lease lapses, and somebody has to look at the event
SET idempotency.clock_offset = '1h';
SELECT in_progress, lapsed FROM idempotency_activity WHERE scope = 'orders';
SELECT backlog, oldest_due > now() AS due_since_the_lapse FROM idempotency_activity WHERE source = 'stripe';
-- ... all has expired, tombstones count for nothing, and what waits for a worker waits
SET idempotency.clock_offset = '8 days';
SET idempotency.tombstone_ttl = '30 days';
SELECT tenant_id, scope, source, backlog FROM idempotency_activity;
SELECT * FROM idempotency_sweep();
SELECT tenant_id, scope, source, backlog FROM idempotency_activity;
RESET ALL;
\pset null ''
TRUNCATE idempotency_keys, webhook_inbox;
