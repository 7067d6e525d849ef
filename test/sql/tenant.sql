-- A role that is pinned to one tenant.
CREATE FUNCTION echo(request jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT $1';
CREATE FUNCTION raises(event webhook_event) RETURNS void LANGUAGE plpgsql AS $$ BEGIN RAISE 'for %', event.tenant_id; END $$;
CREATE ROLE regress_acme;
GRANT EXECUTE ON ALL ROUTINES IN SCHEMA public TO regress_acme;
SET idempotency.tenant = 'acme';
SET ROLE regress_acme;
SELECT outcome, token AS t FROM idempotency_claim('acme', 'k', '{"a": 1}', keep_request => true, lease => '0') \gset
SELECT :'outcome';
\set VERBOSITY sqlstate
SELECT idempotency_claim('globex', 'k');
SELECT idempotency_claim('ACME', 'k');
SELECT idempotency_claim('acme ', 'k');
SELECT idempotency_complete('globex', 'k', 1);
SELECT idempotency_complete('globex', 'k', 1, 200, '{}'::jsonb);
SELECT idempotency_complete('globex', 'k', 1, 200, ''::bytea);
SELECT idempotency_release('globex', 'k', 1);
SELECT idempotency_checkpoint('globex', 'k', 1, 'p');
SELECT idempotency_heartbeat('globex', 'k', 1);
SELECT idempotency_lookup('globex', 'k');
SELECT idempotency_execute('globex', 'k', '{}', 'echo(jsonb)');
SELECT idempotency_claim_abandoned(tenant_id => 'globex');
SELECT idempotency_forget('globex', 'k');
SELECT idempotency_forget_tenant('globex');
SELECT webhook_inbox_record('globex', 's', 'e');
SELECT webhook_inbox_record_batch('globex', 's', '[]');
SELECT webhook_inbox_fetch(tenant_id => 'globex');
SELECT webhook_inbox_complete('globex', 's', 'e', 1);
SELECT webhook_inbox_fail('globex', 's', 'e', 1, 'x');
SELECT webhook_inbox_requeue('globex', 's', 'e');
SELECT webhook_inbox_requeue_dead('globex');
CALL webhook_inbox_process('raises(webhook_event)', tenant_id => 'globex');
\set VERBOSITY default
-- ... and whatever function is added later
RESET ROLE;
CREATE FUNCTION call_for_globex(routine regprocedure) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	_arguments text := (
		SELECT string_agg(CASE WHEN p.proargnames[i] = 'tenant_id' THEN $s$'globex'$s$ ELSE CASE format_type(t, NULL)
			WHEN 'text' THEN $s$'x'$s$ WHEN 'jsonb' THEN $s$'[]'$s$ WHEN 'interval' THEN $s$'1h'$s$ WHEN 'boolean' THEN 'true'
			WHEN 'regprocedure' THEN $s$'echo(jsonb)'$s$ WHEN 'bytea' THEN $s$''$s$ ELSE '1' END END || '::' || format_type(t, NULL), ', ' ORDER BY i)
		FROM pg_proc AS p, unnest(p.proargtypes) WITH ORDINALITY AS a (t, i) WHERE p.oid = routine);
BEGIN
	EXECUTE format('SELECT %s(%s)', split_part(routine::text, '(', 1), _arguments);
	RETURN 'allowed';
EXCEPTION WHEN others THEN
	RETURN SQLSTATE;
END $$;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO regress_acme;
SET ROLE regress_acme;
SELECT call_for_globex(p.oid), count(*) > 15 AS all_of_them
FROM pg_proc AS p JOIN pg_depend AS d ON d.objid = p.oid AND d.classid = 'pg_proc'::regclass AND d.deptype = 'e'
JOIN pg_extension AS e ON e.oid = d.refobjid AND e.extname = 'idempotency'
WHERE 'tenant_id' = ANY (p.proargnames[:p.pronargs]) AND p.prokind = 'f' GROUP BY 1;
\set VERBOSITY sqlstate
-- It can neither change nor clear the pin.
SET idempotency.tenant = 'globex';
SET LOCAL idempotency.tenant = '';
SELECT set_config('idempotency.tenant', '', false);
SHOW idempotency.tenant;
\set VERBOSITY default
SELECT idempotency_claim('globex', 'k');
RESET ROLE;

-- A call over all tenants sees this one only.
RESET idempotency.tenant;
SELECT outcome FROM idempotency_claim('globex', 'k', '{"a": 1}', keep_request => true, lease => '0');
SET idempotency.tenant = 'acme';
SET ROLE regress_acme;
SELECT tenant_id, key FROM idempotency_claim_abandoned();
RESET ROLE;
RESET idempotency.tenant;
SELECT tenant_id, key FROM idempotency_claim_abandoned();

SELECT outcome FROM webhook_inbox_record('acme', 's', 'e');
SELECT count(*) FROM webhook_inbox_record_batch('globex', 's', '[{"event_id": "1"}, {"event_id": "2"}, {"event_id": "3"}]');
SET idempotency.webhook_max_attempts = 1;
SELECT webhook_inbox_fail(tenant_id, source, event_id, token, 'x') FROM webhook_inbox_fetch(2, tenant_id => 'globex');
SET idempotency.tenant = 'acme';
SET ROLE regress_acme;
SELECT webhook_inbox_requeue_dead();
CALL webhook_inbox_process('raises(webhook_event)');
SELECT webhook_inbox_requeue_dead(source => 's');
SELECT tenant_id FROM webhook_inbox_fetch(10);
SELECT tenant_id FROM webhook_inbox_fetch(10, 's');
RESET ROLE;
RESET idempotency.tenant;
RESET idempotency.webhook_max_attempts;
SELECT tenant_id, event_id, state FROM webhook_inbox ORDER BY 1, 2;

-- ... and sweeps, and counts, only what is its own
SELECT outcome FROM unnest(ARRAY['acme', 'globex']) AS tenant, idempotency_claim(tenant, 'old', ttl => '0');
SELECT outcome FROM unnest(ARRAY['acme', 'globex']) AS tenant, webhook_inbox_record(tenant, 's', 'old', processed => true, ttl => '0');
SELECT idempotency_grant('regress_acme', 'admin');
SET idempotency.tenant = 'acme';
SET ROLE regress_acme;
SELECT * FROM idempotency_sweep();
SELECT DISTINCT tenant_id FROM idempotency_activity;
\set VERBOSITY sqlstate
SELECT idempotency_stats();
SELECT idempotency_stats_reset();
SELECT * FROM idempotency_stats;
\set VERBOSITY default
RESET ROLE;
RESET idempotency.tenant;
SELECT * FROM idempotency_sweep();
SELECT idempotency_revoke('regress_acme', 'admin');

-- A role that ALTER ROLE pins.
\set admin :USER
ALTER ROLE regress_acme LOGIN;
ALTER ROLE regress_acme SET idempotency.tenant = 'acme';
GRANT CREATE ON SCHEMA public TO regress_acme;
SELECT outcome FROM idempotency_claim('globex', 'secret', '{"a": 1}', keep_request => true, lease => '0');
\set VERBOSITY sqlstate
\c - regress_acme
SELECT state FROM idempotency_lookup('globex', 'secret');
-- ... whatever it set before the first call
\c - regress_acme
SET idempotency.tenant = '';
SELECT state FROM idempotency_lookup('globex', 'secret');
SHOW idempotency.tenant;
RESET ALL;
DISCARD ALL;
SELECT state FROM idempotency_lookup('globex', 'secret');
\c - regress_acme
-- What it owns runs with its pin, whoever makes it run.
CREATE FUNCTION peek() RETURNS TABLE (state text) LANGUAGE sql SECURITY DEFINER AS $$
	SELECT state FROM public.idempotency_lookup('globex', 'secret') $$;
CREATE FUNCTION abandoned() RETURNS TABLE (tenant text) LANGUAGE sql SECURITY DEFINER AS $$
	SELECT tenant_id FROM public.idempotency_claim_abandoned() $$;
CREATE FUNCTION steal() RETURNS TABLE (tenant text, event text) LANGUAGE sql SECURITY DEFINER AS $$
	SELECT tenant_id, event_id FROM public.webhook_inbox_fetch(10) $$;
CREATE MATERIALIZED VIEW peeked AS SELECT state FROM idempotency_lookup('globex', 'secret') WITH NO DATA;
\c - :admin
SELECT * FROM peek();
SELECT * FROM abandoned();
SELECT * FROM steal();
REFRESH MATERIALIZED VIEW peeked;
SELECT state FROM idempotency_lookup('globex', 'secret');
SET idempotency.tenant = 'globex';
SELECT * FROM peek();
RESET idempotency.tenant;
\set VERBOSITY default
DROP MATERIALIZED VIEW peeked;
DROP FUNCTION peek, abandoned, steal;
REVOKE CREATE ON SCHEMA public FROM regress_acme;

REVOKE ALL ON ALL ROUTINES IN SCHEMA public FROM regress_acme;
DROP ROLE regress_acme;
DROP FUNCTION echo, raises, call_for_globex;
TRUNCATE idempotency_keys, webhook_inbox;
