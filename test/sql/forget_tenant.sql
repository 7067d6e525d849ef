-- Everything of a tenant goes, in whatever state, and nothing of another's.
SELECT count(*) FROM unnest(ARRAY['acme', 'globex']) AS tenant, generate_series(1, 3) AS i,
	idempotency_claim(tenant, 'k' || i, scope => 's' || i % 2, keep_request => true, request => '{}', lease => (i - 1 || ' hours')::interval);
SELECT idempotency_complete('acme', 'k2', token, scope => 's0') FROM idempotency_keys WHERE (tenant_id, key) = ('acme', 'k2');
SELECT count(*) FROM unnest(ARRAY['acme', 'globex']) AS tenant, generate_series(1, 6) AS i,
	webhook_inbox_record(tenant, 's' || i % 2, 'e' || i, stream => CASE WHEN i > 2 THEN 'x' END, processed => i = 6);
SELECT count(*) FROM webhook_inbox_fetch(3);
SELECT idempotency_forget_tenant('acme');
SELECT idempotency_forget_tenant('acme');
SELECT tenant_id, count(*) FROM idempotency_keys GROUP BY 1;
SELECT tenant_id, count(*) FROM webhook_inbox GROUP BY 1;

-- What is recorded afterwards in the same transaction is handed out.
BEGIN;
SELECT outcome FROM webhook_inbox_record('acme', 's', 'e1', stream => 'x');
SELECT idempotency_forget_tenant('acme');
SELECT outcome FROM webhook_inbox_record('acme', 's', 'e1', stream => 'x');
SELECT outcome FROM webhook_inbox_record('acme', 's', 'e2', stream => 'x');
COMMIT;
SELECT event_id FROM webhook_inbox_fetch(10, tenant_id => 'acme');
SELECT outcome FROM idempotency_claim('acme', 'k1', scope => 's1');
SELECT idempotency_forget_tenant('acme');
SELECT idempotency_forget_tenant('globex');

-- A tenant with more streams at work than a transaction may lock.
SELECT count(*) FROM webhook_inbox_record_batch('acme', 's', (SELECT jsonb_agg(jsonb_build_object('event_id', i::text, 'stream', (i / 2)::text)) FROM generate_series(1, 2000) AS i));
BEGIN;
SELECT idempotency_forget_tenant('acme');
SELECT mode FROM pg_locks WHERE relation = 'webhook_inbox'::regclass AND mode <> 'AccessShareLock' ORDER BY 1;
COMMIT;

\set VERBOSITY sqlstate
SELECT idempotency_forget_tenant(NULL);
SELECT idempotency_forget_tenant('');
SELECT idempotency_forget_tenant(repeat('x', 256));
BEGIN READ ONLY;
SELECT idempotency_forget_tenant('acme');
COMMIT;
\set VERBOSITY default
TRUNCATE idempotency_keys, webhook_inbox;
