-- Whatever lies on the caller's search_path, or in its temporary schema, the
-- functions find their own table, operators and types.
CREATE FUNCTION echo(request jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT $1';
CREATE SCHEMA hostile;
CREATE TABLE hostile.idempotency_keys (LIKE idempotency_keys);
CREATE FUNCTION hostile.never(text, text) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT 1/0 = 1';
CREATE OPERATOR hostile.= (LEFTARG = text, RIGHTARG = text, FUNCTION = hostile.never);
CREATE FUNCTION hostile.never(bigint, bigint) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT 1/0 = 1';
CREATE OPERATOR hostile.= (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = hostile.never);
CREATE FUNCTION hostile.never(timestamptz, timestamptz) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT 1/0 = 1';
CREATE OPERATOR hostile.> (LEFTARG = timestamptz, RIGHTARG = timestamptz, FUNCTION = hostile.never);
CREATE OPERATOR hostile.<= (LEFTARG = timestamptz, RIGHTARG = timestamptz, FUNCTION = hostile.never);
CREATE FUNCTION hostile.plus(int, int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 1/0';
CREATE OPERATOR hostile.+ (LEFTARG = int, RIGHTARG = int, FUNCTION = hostile.plus);
CREATE DOMAIN hostile.text AS pg_catalog.text CHECK (false);
CREATE TEMP TABLE idempotency_keys (LIKE public.idempotency_keys);

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
-- ... also with nothing on it at all
SET search_path = '';
SELECT outcome FROM public.idempotency_claim('acme', 'k');
SELECT outcome FROM public.idempotency_execute('acme', 'e', '{}', 'public.echo(pg_catalog.jsonb)');
RESET search_path;
SELECT count(*) FROM public.idempotency_keys;
SELECT count(*) FROM hostile.idempotency_keys;
SELECT count(*) FROM pg_temp.idempotency_keys;

DROP TABLE pg_temp.idempotency_keys;
SET client_min_messages = warning;
DROP SCHEMA hostile CASCADE;
RESET client_min_messages;
DROP FUNCTION echo;
TRUNCATE idempotency_keys;
