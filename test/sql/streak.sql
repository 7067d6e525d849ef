-- After two known keys in a row a session looks before it inserts.  That makes a
-- difference to what a claim costs, and to nothing else.
CREATE FUNCTION echo(request jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT $1';

-- A claim, and how many times it looked into the primary key: an insert does so
-- once, to see whether it may, and so does each statement that reads or changes
-- a row.
CREATE FUNCTION claim(key text, request jsonb DEFAULT NULL, OUT answer jsonb, OUT looks bigint) LANGUAGE plpgsql AS $$
DECLARE
	before CONSTANT bigint := pg_stat_get_xact_numscans('idempotency_keys_pkey'::regclass);
BEGIN
	SELECT to_jsonb(c) INTO answer FROM idempotency_claim('acme', key, request) AS c;
	looks := pg_stat_get_xact_numscans('idempotency_keys_pkey'::regclass) - before;
END $$;
CREATE VIEW claims AS
	SELECT key, answer->>'outcome' AS outcome, looks
	FROM unnest('{known, known, known, known, new 1, known, known, known, new 2}'::text[]) AS key, claim(key);

-- The third known one in a row is found at once.  One that is new ends that.
SELECT idempotency_complete('acme', 'known', token) FROM idempotency_claim('acme', 'known');
BEGIN;
TABLE claims;
ROLLBACK;
BEGIN ISOLATION LEVEL REPEATABLE READ;
TABLE claims;
ROLLBACK;
-- Under SERIALIZABLE nothing is looked for that may be new.
BEGIN ISOLATION LEVEL SERIALIZABLE;
TABLE claims;
ROLLBACK;
-- idempotency_execute is one of the claims.
SELECT outcome FROM idempotency_execute('acme', 'executed', NULL, 'echo(jsonb)');
SELECT outcome FROM idempotency_execute('acme', 'executed', NULL, 'echo(jsonb)');
SELECT outcome FROM idempotency_execute('acme', 'executed', NULL, 'echo(jsonb)');
SELECT answer->>'outcome' AS outcome, looks FROM claim('executed');
-- What was known may have gone meanwhile.
SELECT idempotency_forget('acme', 'executed');
SELECT outcome FROM idempotency_execute('acme', 'executed', NULL, 'echo(jsonb)');

-- Keys of each state, to be claimed outside of a streak and in one, for the
-- same request, another, and none.
CREATE TABLE trials AS
	SELECT state, request, in_streak, concat_ws(' ', state, request, CASE WHEN in_streak THEN 'in a streak' END) AS key
	FROM unnest('{absent, completed, expired, in progress, lapsed, released}'::text[]) AS state,
		(VALUES ('[1]'::jsonb), ('[2]'), (NULL)) AS r (request), (VALUES (false), (true)) AS s (in_streak);
CREATE FUNCTION make_key(key text, state text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	token CONSTANT bigint := (idempotency_claim('acme', key, '[1]')).token;
BEGIN
	PERFORM idempotency_checkpoint('acme', key, token, 'charged', '{"id": 7}', lease => CASE state WHEN 'lapsed' THEN interval '0' ELSE '1 hour' END);
	CASE state
		WHEN 'absent' THEN PERFORM idempotency_forget('acme', key);
		WHEN 'completed' THEN PERFORM idempotency_complete('acme', key, token, 201, 'stored', '{"ETag": "1"}');
		WHEN 'expired' THEN PERFORM idempotency_complete('acme', key, token, 201, 'stored', '{"ETag": "1"}', ttl => '0');
		WHEN 'released' THEN PERFORM idempotency_release('acme', key, token);
		ELSE
	END CASE;
END $$;

-- An answer, or a row, without what differs each time, but for whether it is
-- there.
CREATE FUNCTION but_for_times(whole jsonb) RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_object_agg(key, CASE WHEN key IN ('token', 'retry_after') OR key LIKE '%\_at' THEN to_jsonb(value <> 'null') ELSE value END)
	FROM jsonb_each(whole - 'key') $$;
CREATE FUNCTION try(key text, request jsonb, in_streak boolean, OUT answer jsonb, OUT row_then jsonb, OUT looks bigint) LANGUAGE plpgsql AS $$
BEGIN
	PERFORM FROM generate_series(1, 2), claim(CASE WHEN in_streak THEN 'known' ELSE gen_random_uuid()::text END);
	SELECT but_for_times(c.answer), c.looks INTO answer, looks FROM claim(key, request) AS c;
	row_then := (SELECT but_for_times(to_jsonb(k)) FROM idempotency_keys AS k WHERE k.key = try.key);
END $$;
-- The same comes out, and looks are saved where there is nothing to write.
CREATE VIEW differences AS
	WITH tried AS MATERIALIZED (SELECT * FROM trials, try(key, request, in_streak))
	SELECT s.state, s.request, s.answer->>'outcome' AS outcome, s.answer = o.answer AND s.row_then = o.row_then AS same,
		s.looks < o.looks AS saves_a_look
	FROM tried AS s JOIN tried AS o ON s.state = o.state AND s.request IS NOT DISTINCT FROM o.request
	WHERE s.in_streak AND NOT o.in_streak
	ORDER BY 1, 2;
SELECT count(make_key(key, state)) FROM trials;
TABLE differences;

-- ... and with tombstones, before and after the sweep
TRUNCATE idempotency_keys;
DELETE FROM trials WHERE state <> 'expired';
SET idempotency.tombstone_ttl = '1 hour';
SELECT idempotency_complete('acme', 'known', token) FROM idempotency_claim('acme', 'known');
SELECT count(make_key(key, state)) FROM trials;
TABLE differences;
SELECT keys FROM idempotency_sweep();
TABLE differences;
RESET idempotency.tombstone_ttl;

DROP VIEW claims, differences;
DROP TABLE trials;
DROP FUNCTION echo, claim, make_key, try, but_for_times;
TRUNCATE idempotency_keys;
