-- After two duplicates in a row a session looks before it inserts.  That makes a
-- difference to what recording an event costs, and to nothing else.

-- What became of an event, and how many times the primary key was looked into.
CREATE FUNCTION record(source text, event_id text, payload jsonb, stream text, OUT answer jsonb, OUT looks bigint) LANGUAGE plpgsql AS $$
DECLARE
	before CONSTANT bigint := pg_stat_get_xact_numscans('webhook_inbox_pkey'::regclass);
BEGIN
	SELECT to_jsonb(r) INTO answer FROM webhook_inbox_record('acme', source, event_id, payload, stream => stream) AS r;
	looks := pg_stat_get_xact_numscans('webhook_inbox_pkey'::regclass) - before;
END $$;
CREATE VIEW records AS
	SELECT event_id, answer->>'outcome' AS outcome, looks
	FROM unnest('{known, known, known, known, new 1, known, known, known, new 2}'::text[]) AS event_id,
		record('shop', event_id, NULL, NULL);

-- The third known one in a row is found at once.  One that is new ends that.
SELECT outcome FROM webhook_inbox_record('acme', 'shop', 'known', processed => true);
BEGIN;
TABLE records;
ROLLBACK;
BEGIN ISOLATION LEVEL REPEATABLE READ;
TABLE records;
ROLLBACK;
-- Under SERIALIZABLE nothing is looked for that may be new.
BEGIN ISOLATION LEVEL SERIALIZABLE;
TABLE records;
ROLLBACK;

-- Events of each state, to be recorded outside of a streak and in one, with the
-- same payload, another, and none.
CREATE TABLE trials AS
	SELECT state, payload, in_streak, concat_ws(' ', 'e', payload, CASE WHEN in_streak THEN 'in a streak' END) AS event_id
	FROM unnest('{absent, absent of a stream, dead, expired, pending, processed, processing}'::text[]) AS state,
		(VALUES ('[1]'::jsonb), ('[2]'), (NULL)) AS p (payload), (VALUES (false), (true)) AS s (in_streak);
SELECT state, count(webhook_inbox_record('acme', state, event_id, '[1]', ttl => CASE state WHEN 'expired' THEN interval '0' END))
FROM trials WHERE state !~ 'absent' GROUP BY state ORDER BY state;
SET idempotency.webhook_max_attempts = 1;
CREATE TEMPORARY TABLE held AS
	SELECT e.* FROM unnest('{dead, expired, processed, processing}'::text[]) AS state, webhook_inbox_fetch(10, state) AS e;
SELECT source, count(webhook_inbox_fail('acme', source, event_id, token, 'refused')) FROM held WHERE source = 'dead' GROUP BY source;
SELECT source, count(webhook_inbox_complete('acme', source, event_id, token)) FROM held WHERE source IN ('expired', 'processed') GROUP BY source ORDER BY source;
RESET idempotency.webhook_max_attempts;

-- An answer, or a row, without what differs each time, but for whether it is
-- there.
CREATE FUNCTION but_for_times(whole jsonb) RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_object_agg(key, CASE WHEN key = 'token' OR key LIKE '%\_at' THEN to_jsonb(value <> 'null') ELSE value END)
	FROM jsonb_each(whole - 'event_id') $$;
CREATE FUNCTION try(source text, event_id text, payload jsonb, in_streak boolean, OUT answer jsonb, OUT row_then jsonb, OUT looks bigint) LANGUAGE plpgsql AS $$
DECLARE
	stream CONSTANT text := CASE WHEN source ~ 'stream' THEN event_id END;
BEGIN
	PERFORM FROM generate_series(1, 2), record('shop', CASE WHEN in_streak THEN 'known' ELSE gen_random_uuid()::text END, NULL, NULL);
	SELECT but_for_times(r.answer), r.looks INTO answer, looks FROM record(source, event_id, payload, stream) AS r;
	row_then := (SELECT but_for_times(to_jsonb(i)) - 'stream' FROM webhook_inbox AS i WHERE i.source = try.source AND i.event_id = try.event_id);
END $$;
-- The same comes out, and looks are saved where there is nothing to write.
WITH tried AS MATERIALIZED (SELECT * FROM trials, try(state, event_id, payload, in_streak))
SELECT s.state, s.payload, s.answer->>'outcome' AS outcome, s.answer->>'payload_changed' AS changed,
	s.answer = o.answer AND s.row_then = o.row_then AS same, s.looks < o.looks AS saves_a_look
FROM tried AS s JOIN tried AS o ON s.state = o.state AND s.payload IS NOT DISTINCT FROM o.payload
WHERE s.in_streak AND NOT o.in_streak
ORDER BY 1, 2;

DROP VIEW records;
DROP TABLE trials, held;
DROP FUNCTION record, but_for_times, try;
TRUNCATE webhook_inbox;
