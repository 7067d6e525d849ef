-- Nothing is PUBLIC's but the two functions that touch no table.
SELECT p.oid::regprocedure AS public_function
FROM pg_proc AS p JOIN pg_depend AS d ON d.objid = p.oid AND d.deptype = 'e'
JOIN pg_extension AS e ON e.oid = d.refobjid AND e.extname = 'idempotency'
WHERE has_function_privilege('public', p.oid, 'EXECUTE') ORDER BY 1;
SELECT c.relname, privilege
FROM pg_class AS c JOIN pg_depend AS d ON d.objid = c.oid AND d.deptype = 'e'
JOIN pg_extension AS e ON e.oid = d.refobjid AND e.extname = 'idempotency',
unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) AS privilege
WHERE c.relkind = 'r' AND has_table_privilege('public', c.oid, privilege);

-- Every object says what it is, and every column.
SELECT pg_describe_object(d.classid, d.objid, 0) AS uncommented
FROM pg_depend AS d
JOIN pg_extension AS e ON e.oid = d.refobjid AND e.extname = 'idempotency'
WHERE d.deptype = 'e' AND obj_description(d.objid, d.classid::regclass::text) IS NULL
-- row and array types come along by themselves
AND (d.classid <> 'pg_type'::regclass OR EXISTS (
	SELECT FROM pg_type AS t JOIN pg_class AS c ON c.oid = t.typrelid
	WHERE t.oid = d.objid AND c.relkind = 'c'));
SELECT attname AS uncommented FROM pg_attribute
WHERE attrelid IN ('idempotency_keys'::regclass, 'webhook_inbox'::regclass) AND attnum > 0
AND col_description(attrelid, attnum) IS NULL;
SELECT indexrelid::regclass AS uncommented FROM pg_index
WHERE indrelid IN ('idempotency_keys'::regclass, 'webhook_inbox'::regclass) AND obj_description(indexrelid, 'pg_class') IS NULL;

-- With EXECUTE and no right on the table, everything works.
CREATE FUNCTION echo(request jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT $1';
CREATE FUNCTION ignore(event webhook_event) RETURNS void LANGUAGE sql AS '';
CREATE ROLE regress_app;
\set VERBOSITY sqlstate
SET ROLE regress_app;
SELECT idempotency_claim('t', 'k');
SELECT idempotency_lookup('t', 'k');
SELECT count(*) FROM idempotency_keys;
SELECT webhook_inbox_record('t', 's', 'e');
SELECT webhook_inbox_record_batch('t', 's', '[]');
SELECT webhook_inbox_fetch();
SELECT webhook_inbox_complete('t', 's', 'e', 1);
SELECT webhook_inbox_fail('t', 's', 'e', 1, 'x');
SELECT webhook_inbox_requeue('t', 's', 'e');
SELECT webhook_inbox_requeue_dead();
CALL webhook_inbox_process('ignore(webhook_event)');
SELECT count(*) FROM webhook_inbox;
SELECT idempotency_complete('t', 'k', 1);
SELECT idempotency_complete('t', 'k', 1, 200, '{}'::jsonb);
SELECT idempotency_complete('t', 'k', 1, 200, ''::bytea);
SELECT idempotency_release('t', 'k', 1);
SELECT idempotency_checkpoint('t', 'k', 1, 'p');
SELECT idempotency_heartbeat('t', 'k', 1);
SELECT idempotency_execute('t', 'e', '{"a": 1}', 'echo(jsonb)');
SELECT idempotency_claim_abandoned();
SELECT idempotency_forget('t', 'k');
SELECT idempotency_forget_tenant('t');
SELECT idempotency_sweep();
SELECT idempotency_stats();
SELECT idempotency_stats_reset();
SELECT idempotency_activity();
SELECT idempotency_grant('regress_app', 'app');
SELECT idempotency_revoke('regress_app', 'app');
RESET ROLE;
GRANT EXECUTE ON ALL ROUTINES IN SCHEMA public TO regress_app;
SET ROLE regress_app;
SELECT token AS t FROM idempotency_claim('t', 'k', '{"a": 1}') \gset
SELECT idempotency_checkpoint('t', 'k', :t, 'p') IS NOT NULL;
SELECT idempotency_heartbeat('t', 'k', :t) IS NOT NULL;
SELECT idempotency_complete('t', 'k', :t, 200, 'x');
SELECT outcome, response_body FROM idempotency_claim('t', 'k', '{"a": 1}');
SELECT state FROM idempotency_lookup('t', 'k');
SELECT outcome FROM idempotency_execute('t', 'e', '{"a": 1}', 'echo(jsonb)');
SELECT count(*) FROM idempotency_claim_abandoned();
SELECT idempotency_forget('t', 'k');
SELECT outcome FROM webhook_inbox_record('t', 's', 'e', stream => 'x');
SELECT outcome FROM webhook_inbox_record('t', 's', 'e');
SELECT event_id, outcome FROM webhook_inbox_record_batch('t', 's', '[{"event_id": "e"}, {"event_id": "f", "stream": "x"}, {"event_id": "g"}]');
SELECT event_id, token AS t FROM webhook_inbox_fetch(1, 's', 't') \gset
SELECT :'event_id', webhook_inbox_fail('t', 's', 'e', :t, 'x', '0');
SELECT token AS t FROM webhook_inbox_fetch(1) \gset
SELECT webhook_inbox_complete('t', 's', 'g', :t);
SELECT webhook_inbox_requeue('t', 's', 'g');
SELECT webhook_inbox_requeue_dead();
CALL webhook_inbox_process('ignore(webhook_event)');
SELECT outcome, state FROM webhook_inbox_record('t', 's', 'f');
-- ... and the tables are still out of reach
SELECT count(*) FROM idempotency_keys;
DELETE FROM idempotency_keys;
SELECT count(*) FROM webhook_inbox;
UPDATE webhook_inbox SET state = 'dead';
RESET ROLE;
\set VERBOSITY default

-- Row security on the table does not get in the way of its owner's statements.
CREATE ROLE regress_owner;
ALTER TABLE idempotency_keys OWNER TO regress_owner;
ALTER TABLE idempotency_keys ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
SET ROLE regress_app;
SELECT outcome FROM idempotency_claim('t', 'rls');
SELECT outcome FROM idempotency_claim('t', 'rls');
RESET ROLE;
ALTER TABLE idempotency_keys NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY;
ALTER TABLE idempotency_keys OWNER TO CURRENT_USER;
DROP ROLE regress_owner;

REVOKE ALL ON ALL ROUTINES IN SCHEMA public FROM regress_app;
DROP ROLE regress_app;
DROP FUNCTION echo, ignore;
TRUNCATE idempotency_keys, webhook_inbox;
