-- Calls every function for several tenants.  What it shows must be the same whether the
-- tenants are all in one database or spread over several, so it shows no tokens and no
-- times.  It wants a table of tenants, acme and globex among them, a role somebody, the
-- functions answer(jsonb) and refuse(jsonb), and idempotency.webhook_max_attempts = 1.
\pset null (null)
\set VERBOSITY sqlstate
SET client_min_messages = warning;

-- Keys.
CREATE TEMP TABLE k AS SELECT tenant, token FROM tenants, idempotency_claim(tenant, 'k', '{"n": 1}', 'pay');
SELECT tenant, outcome, token IS NULL AS has_none, response_status, retry_after BETWEEN 1 AND 1800
FROM tenants, idempotency_claim(tenant, 'k', request => '{"n": 1.0}', scope => 'pay') ORDER BY tenant;
SELECT tenant, outcome, response_status FROM tenants, idempotency_claim(tenant, 'k', '{"n": 2}', 'pay') ORDER BY tenant;
SELECT tenant, idempotency_checkpoint(tenant, 'k', token, 'half', '{"way": [1, null]}', 'pay', lease => '2 h') > now() + interval '1 h' FROM k ORDER BY tenant;
SELECT tenant, idempotency_heartbeat(tenant, 'k', token, 'pay', '3 h') > now() + interval '2 h' FROM k ORDER BY tenant;
SELECT tenant, state, attempt, recovery_point, recovery_data, request_hash = idempotency_request_hash('{"n": 1}')
FROM tenants, idempotency_lookup(tenant, 'k', 'pay') ORDER BY tenant;
SELECT tenant, idempotency_release(tenant, 'k', token, 'pay') FROM k ORDER BY tenant;
CREATE TEMP TABLE again AS SELECT tenant, c.* FROM tenants, idempotency_claim(tenant, 'k', '{"n": 1}', 'pay') AS c;
SELECT tenant, outcome, attempt, recovery_point, recovery_data FROM again ORDER BY tenant;
SELECT idempotency_complete(tenant, 'k', token, scope => 'pay') FROM k LIMIT 1;	-- outdated
SELECT tenant, idempotency_complete(tenant, 'k', token, 201, E' caf\u00e9\t"x" ''y'' \\N\r\n', '{"Location": "/1"}', 'pay') FROM again ORDER BY tenant;
SELECT tenant, c.outcome, c.response_status, c.response_headers, c.response_body
FROM tenants, idempotency_claim(tenant, 'k', '{"n": 1}', 'pay') AS c ORDER BY tenant;
SELECT tenant, idempotency_complete(tenant, 'json', token, 200, '{"b": 1.50, "a": null}'::jsonb) FROM tenants, idempotency_claim(tenant, 'json') ORDER BY tenant;
SELECT tenant, idempotency_complete(tenant, 'bytes', token, 200, '\x00ff5c'::bytea, ttl => '1 day') FROM tenants, idempotency_claim(tenant, 'bytes') ORDER BY tenant;
SELECT tenant, idempotency_complete(tenant, 'later', token, 503) FROM tenants, idempotency_claim(tenant, 'later') ORDER BY tenant;
SELECT tenant, key, outcome, response_body, response_bytes
FROM tenants, unnest(ARRAY['json', 'bytes', 'later']) AS key, idempotency_claim(tenant, key) ORDER BY 1, 2;
SELECT tenant, outcome, response_status, response_headers, response_body
FROM tenants, idempotency_execute(tenant, 'done', '{"n": 1}', 'answer(jsonb)', wait => '1 ms') ORDER BY tenant;
SELECT tenant, outcome, response_status, response_headers, response_body
FROM tenants, idempotency_execute(tenant, 'done', '{"n": 1}', handler => 'answer(jsonb)', ttl => '1 day') ORDER BY tenant;
SELECT idempotency_execute(tenant, 'refused', '{}', 'refuse(jsonb)') FROM tenants LIMIT 1;
SELECT idempotency_execute(tenant, 'refused', '{}', 'nobody(jsonb)') FROM tenants LIMIT 1;
SELECT tenant, idempotency_forget(tenant, 'done'), idempotency_forget(tenant, 'done') FROM tenants ORDER BY tenant;

-- Bad arguments.
SELECT idempotency_claim(NULL, 'k');
SELECT idempotency_claim('', 'k');
SELECT idempotency_claim(repeat('x', 256), 'k');
SELECT idempotency_claim(tenant, NULL) FROM tenants LIMIT 1;
SELECT idempotency_claim(tenant, repeat('x', 256)) FROM tenants LIMIT 1;
SELECT idempotency_claim(tenant, 'x', lease => '-1 s') FROM tenants LIMIT 1;
SELECT idempotency_complete(tenant, 'none', 1) FROM tenants LIMIT 1;
SELECT webhook_inbox_fetch(0);
SELECT webhook_inbox_fetch(NULL);
SELECT webhook_inbox_fetch(source => '');
SELECT idempotency_claim_abandoned(max_rows => 0);
SELECT webhook_inbox_requeue_dead(max_rows => 0);
SELECT webhook_inbox_requeue_dead('');
SELECT idempotency_sweep(0);
SELECT idempotency_grant('somebody', 'nothing');
SELECT idempotency_grant('nobody', 'app');

-- Abandoned claims: up to a limit, of a tenant, and all.
SELECT count(outcome) FROM tenants, generate_series(1, 3) AS i, idempotency_claim(tenant, 'a' || i, '{"n": 1}', lease => '0', keep_request => true);
SELECT count(*), count(DISTINCT (tenant_id, key)) FROM idempotency_claim_abandoned(max_rows => 1, lease => '0');
SELECT count(*), count(DISTINCT (tenant_id, key)) FROM idempotency_claim_abandoned(max_rows => 8, lease => '0');
SELECT tenant_id, scope, key, request, recovery_point FROM idempotency_claim_abandoned(tenant_id => 'acme', scope => '') ORDER BY key;
SELECT count(*) FROM idempotency_claim_abandoned(2, 'globex');
SELECT count(*), count(DISTINCT (tenant_id, key)) FROM idempotency_claim_abandoned();

-- Events.
SELECT tenant, r.outcome, r.state, r.payload_changed
FROM tenants, webhook_inbox_record(tenant, 'shop', 'e1', '{"a": 1}', 'paid', '{"X": "y"}', stream => 's', sequence => 2) AS r ORDER BY tenant;
SELECT tenant, r.outcome, r.state, r.payload_changed FROM tenants, webhook_inbox_record(tenant, 'shop', 'e1', payload => '{"a": 2}') AS r ORDER BY tenant;
SELECT tenant, r.outcome, r.state FROM tenants, webhook_inbox_record(tenant, 'shop', 'e0', processed => true, ttl => '0') AS r ORDER BY tenant;
SELECT tenant, r.* FROM tenants, webhook_inbox_record_batch(tenant, 'bank', '[{"event_id": "e1"}, {"event_id": "e2", "payload": {}}, {"event_id": "e1"}]') AS r ORDER BY tenant, event_id, outcome;
SELECT tenant, webhook_inbox_record_batch(tenant, 'bank', '[1]') FROM tenants LIMIT 1;
CREATE TEMP TABLE e AS SELECT * FROM webhook_inbox_fetch();
INSERT INTO e SELECT * FROM webhook_inbox_fetch(max_events => 7);
SELECT count(*), count(DISTINCT (tenant_id, source, event_id)) FROM e;
INSERT INTO e SELECT * FROM webhook_inbox_fetch(100, tenant_id => 'acme', lease => '1 h');
SELECT source, event_id, attempt, event_type, payload, headers, stream, sequence, late FROM e WHERE tenant_id = 'acme' ORDER BY source, event_id;
INSERT INTO e SELECT * FROM webhook_inbox_fetch(100, 'shop');
INSERT INTO e SELECT * FROM webhook_inbox_fetch(100);
SELECT tenant_id, source, event_id, attempt FROM e ORDER BY 1, 2, 3;
SELECT count(webhook_inbox_complete(tenant_id, source, event_id, token)) FROM e WHERE source = 'shop';
SELECT webhook_inbox_complete(tenant_id, source, event_id, token) FROM e WHERE source = 'shop' LIMIT 1;
SELECT tenant_id, webhook_inbox_fail(tenant_id, source, event_id, token, 'oops', retry_in => '1 h') FROM e WHERE source = 'bank' AND event_id = 'e1' ORDER BY 1;
SELECT tenant, webhook_inbox_requeue(tenant, 'shop', 'e1'), webhook_inbox_requeue(tenant, 'shop', 'none') FROM tenants ORDER BY 1;
-- who has it lets the lease lapse, so that it is dead when the next one comes
SELECT count(*) FROM webhook_inbox_fetch(100, 'shop', lease => '0');
SELECT count(*) FROM webhook_inbox_fetch(100, 'shop', lease => '0');

-- Dead ones: up to a limit, of a tenant, and all.
SELECT webhook_inbox_requeue_dead(max_rows => 1);
SELECT webhook_inbox_requeue_dead(source => 'shop', max_rows => 3);
SELECT webhook_inbox_requeue_dead('acme') BETWEEN 0 AND 2;
SELECT count(*) FROM idempotency_activity WHERE tenant_id = 'acme' AND dead > 0;
SELECT count(webhook_inbox_requeue_dead()) FROM generate_series(1, 1);
SELECT sum(dead) FROM idempotency_activity;
SELECT webhook_inbox_requeue_dead();

-- All tenants.
SELECT tenant_id, scope, in_progress, lapsed, released, completed, source, backlog, dead, oldest IS NULL, oldest_due IS NULL
FROM idempotency_activity ORDER BY tenant_id, scope, source;
SELECT count(*) FROM idempotency_activity();
SELECT claimed, resumed, replayed, in_progress, mismatch, gone, completed, released, claim_lost, recorded, duplicate, fetched, retried, dead, swept
FROM idempotency_stats;
SELECT coalesce(idempotency_stats_reset()::text, '');
SELECT claimed, completed, stats_reset <= clock_timestamp() FROM idempotency_stats();
SELECT count(outcome) FROM tenants, generate_series(1, 2) AS i, idempotency_claim(tenant, 'gone ' || i, ttl => '0');
SELECT * FROM idempotency_sweep(1000);
SELECT * FROM idempotency_sweep();
SELECT tenant, idempotency_forget_tenant(tenant) > 0, idempotency_forget_tenant(tenant) FROM tenants ORDER BY 1;

-- No tenant.
SELECT idempotency_request_hash('{"n": 1.0}') = idempotency_request_hash('{"n": 1}'), idempotency_request_hash(NULL);
SELECT idempotency_derive_key('0190b6a2-7d4e-7c3a-9f1b-2d5e8c4a6b10', 'acme', 'pay:1'), idempotency_derive_key('0190b6a2-7d4e-7c3a-9f1b-2d5e8c4a6b10', VARIADIC ARRAY['a']);
SELECT idempotency_derive_key('0190b6a2-7d4e-7c3a-9f1b-2d5e8c4a6b10', NULL);
SELECT idempotency_grant('somebody', 'app'), idempotency_grant('somebody', 'worker'), idempotency_revoke('somebody', 'app');
