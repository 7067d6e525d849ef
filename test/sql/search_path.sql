-- Whatever lies on the caller's search_path, or in its temporary schema, the
-- functions find their own table, operators and types.
CREATE FUNCTION echo(request jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT $1';
CREATE FUNCTION ignore(event webhook_event) RETURNS void LANGUAGE sql AS '';
CREATE SCHEMA hostile;
CREATE TABLE hostile.idempotency_keys (LIKE idempotency_keys);
CREATE TABLE hostile.webhook_inbox (LIKE webhook_inbox);
CREATE FUNCTION hostile.never(text, text) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT 1/0 = 1';
CREATE OPERATOR hostile.= (LEFTARG = text, RIGHTARG = text, FUNCTION = hostile.never);
CREATE FUNCTION hostile.never(bigint, bigint) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT 1/0 = 1';
CREATE OPERATOR hostile.= (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = hostile.never);
CREATE FUNCTION hostile.never(timestamptz, timestamptz) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT 1/0 = 1';
CREATE OPERATOR hostile.> (LEFTARG = timestamptz, RIGHTARG = timestamptz, FUNCTION = hostile.never);
CREATE OPERATOR hostile.<= (LEFTARG = timestamptz, RIGHTARG = timestamptz, FUNCTION = hostile.never);
CREATE FUNCTION hostile.plus(int, int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 1/0';
CREATE OPERATOR hostile.+ (LEFTARG = int, RIGHTARG = int, FUNCTION = hostile.plus);
CREATE FUNCTION hostile.unnest(anyarray) RETURNS SETOF anyelement LANGUAGE sql AS 'SELECT $1[1] WHERE 1/0 = 1';
CREATE FUNCTION hostile.never(tid, tid) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT 1/0 = 1';
CREATE OPERATOR hostile.= (LEFTARG = tid, RIGHTARG = tid, FUNCTION = hostile.never);
CREATE FUNCTION hostile.never("char", "char") RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT 1/0 = 1';
CREATE OPERATOR hostile.= (LEFTARG = "char", RIGHTARG = "char", FUNCTION = hostile.never);
CREATE FUNCTION hostile.never(jsonb, jsonb) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT 1/0 = 1';
CREATE OPERATOR hostile.<> (LEFTARG = jsonb, RIGHTARG = jsonb, FUNCTION = hostile.never);
CREATE OPERATOR hostile.<> (LEFTARG = text, RIGHTARG = text, FUNCTION = hostile.never);
CREATE OPERATOR hostile.<= (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = hostile.never);
CREATE OPERATOR hostile.> (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = hostile.never);
CREATE FUNCTION hostile.plus(bigint, int) RETURNS bigint LANGUAGE sql IMMUTABLE AS 'SELECT 1/0';
CREATE OPERATOR hostile.+ (LEFTARG = bigint, RIGHTARG = int, FUNCTION = hostile.plus);
CREATE FUNCTION hostile.plus(timestamptz, interval) RETURNS timestamptz LANGUAGE sql IMMUTABLE AS 'SELECT now() WHERE 1/0 = 1';
CREATE OPERATOR hostile.+ (LEFTARG = timestamptz, RIGHTARG = interval, FUNCTION = hostile.plus);
CREATE OPERATOR hostile.>= (LEFTARG = timestamptz, RIGHTARG = timestamptz, FUNCTION = hostile.never);
CREATE FUNCTION hostile.next(bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS 'SELECT 1/0';
CREATE AGGREGATE hostile.count(*) (SFUNC = hostile.next, STYPE = bigint);
CREATE FUNCTION hostile.next(timestamptz, timestamptz) RETURNS timestamptz LANGUAGE sql IMMUTABLE AS 'SELECT now() WHERE 1/0 = 1';
CREATE AGGREGATE hostile.min(timestamptz) (SFUNC = hostile.next, STYPE = timestamptz);
CREATE ROLE regress_path;
CREATE DOMAIN hostile.text AS pg_catalog.text CHECK (false);
CREATE TEMP TABLE idempotency_keys (LIKE public.idempotency_keys);
CREATE TEMP TABLE webhook_inbox (LIKE public.webhook_inbox);

SET search_path = hostile, pg_temp, pg_catalog;
SELECT outcome, token AS t FROM public.idempotency_claim('acme', 'k', '{"a": 1}', keep_request => true) \gset
SELECT outcome FROM public.idempotency_claim('acme', 'k', '{"a": 1}');
SELECT public.idempotency_checkpoint('acme', 'k', :t, 'p') IS NULL;
SELECT public.idempotency_heartbeat('acme', 'k', :t) IS NULL;
SELECT public.idempotency_release('acme', 'k', :t);
SELECT outcome, attempt, token AS t FROM public.idempotency_claim('acme', 'k', '{"a": 1}', lease => '0') \gset
SELECT key, attempt, token AS t FROM public.idempotency_claim_abandoned() \gset
SELECT public.idempotency_complete('acme', 'k', :t, 200, 'x');
SELECT state, attempt FROM public.idempotency_lookup('acme', 'k');
SET idempotency.clock_offset = '2 days';
SELECT outcome FROM public.idempotency_claim('acme', 'k');
RESET idempotency.clock_offset;
SELECT public.idempotency_forget('acme', 'k');
SELECT outcome FROM public.webhook_inbox_record('acme', 's', '1', '{}', stream => 'x', sequence => 2);
SELECT outcome, payload_changed FROM public.webhook_inbox_record('acme', 's', '1', '[]');
SELECT outcome FROM public.webhook_inbox_record('acme', 's', '2', '{}', stream => 'x', sequence => 1);
SELECT event_id, outcome FROM public.webhook_inbox_record_batch('acme', 's', '[{"event_id": "1"}, {"event_id": "3", "stream": "x"}, {"event_id": "4", "stream": "x"}, {"event_id": "5", "processed": true}]');
SELECT event_id, late, token AS t FROM public.webhook_inbox_fetch(5, 's', 'acme', '0') \gset
SELECT event_id, late, token AS t FROM public.webhook_inbox_fetch(5, 's') \gset
SELECT public.webhook_inbox_fail('acme', 's', '2', :t, 'x', '0');
SET idempotency.webhook_max_attempts = 2;
SELECT event_id, token AS t FROM public.webhook_inbox_fetch(5) \gset
SELECT public.webhook_inbox_fail('acme', 's', '2', :t, 'x');
SELECT event_id, token AS t FROM public.webhook_inbox_fetch(5) \gset
SELECT public.webhook_inbox_complete('acme', 's', '1', :t);
SELECT public.webhook_inbox_requeue('acme', 's', '1');
SELECT public.webhook_inbox_requeue_dead();
RESET idempotency.webhook_max_attempts;
CALL public.webhook_inbox_process('public.ignore(public.webhook_event)');
SET idempotency.clock_offset = '30 days';
SELECT pg_catalog.count(*) FROM public.webhook_inbox_fetch();
SELECT event_id, outcome FROM public.webhook_inbox_record_batch('acme', 's', '[{"event_id": "1"}]');
SELECT outcome FROM public.webhook_inbox_record('acme', 's', '2');
RESET idempotency.clock_offset;
SELECT k.outcome, e.outcome FROM public.idempotency_claim('globex', 'k') AS k, public.webhook_inbox_record('globex', 's', 'e', stream => 'x') AS e;
SELECT tenant_id, scope, in_progress, completed, source, backlog FROM public.idempotency_activity() ORDER BY tenant_id, scope;
SELECT outcome FROM public.idempotency_claim('acme', 'old', ttl => '0');
SET idempotency.tombstone_ttl = '1 day';
SELECT * FROM public.idempotency_sweep();
RESET idempotency.tombstone_ttl;
SET idempotency.clock_offset = '1 day';
SELECT * FROM public.idempotency_sweep();
RESET idempotency.clock_offset;
SELECT public.idempotency_forget_tenant('globex');
SELECT public.idempotency_grant('regress_path', 'admin');
SELECT public.idempotency_revoke('regress_path', 'admin');
-- ... also with nothing on it at all
SET search_path = '';
SELECT outcome FROM public.idempotency_claim('acme', 'k');
SELECT outcome FROM public.idempotency_execute('acme', 'e', '{}', 'public.echo(pg_catalog.jsonb)');
SELECT outcome FROM public.webhook_inbox_record('acme', 's', 'none');
CALL public.webhook_inbox_process('public.ignore(public.webhook_event)');
RESET search_path;
DROP ROLE regress_path;
SELECT event_id, state, stream FROM public.webhook_inbox ORDER BY 1;
SELECT count(*) FROM hostile.webhook_inbox;
SELECT count(*) FROM pg_temp.webhook_inbox;
SELECT count(*) FROM public.idempotency_keys;
SELECT count(*) FROM hostile.idempotency_keys;
SELECT count(*) FROM pg_temp.idempotency_keys;

DROP TABLE pg_temp.idempotency_keys, pg_temp.webhook_inbox;
SET client_min_messages = warning;
DROP SCHEMA hostile CASCADE;
RESET client_min_messages;
DROP FUNCTION echo, ignore;
TRUNCATE idempotency_keys, webhook_inbox;
