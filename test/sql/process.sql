-- A worker in SQL.
CREATE TABLE effects (event_id text, payload jsonb, attempt int);
CREATE FUNCTION handle(event webhook_event) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO effects VALUES (event.event_id, event.payload, event.attempt);
	IF event.payload ->> 'fail' = 'raise' THEN
		RAISE EXCEPTION 'no % today', event.event_id USING ERRCODE = 'XX999';
	ELSIF event.payload ->> 'fail' = 'divide' THEN
		PERFORM 1 / 0;
	END IF;
END $$;
SELECT count(webhook_inbox_record('acme', 's', 'e' || i, jsonb_build_object('n', i, 'fail', CASE i WHEN 2 THEN 'raise' WHEN 4 THEN 'divide' END)))
FROM generate_series(1, 5) AS i;
SELECT outcome FROM webhook_inbox_record('acme', 'other', 'o', '{}');
SELECT outcome FROM webhook_inbox_record('globex', 's', 'g', '{}');

-- One that raises costs its own event only, with all it did.
CALL webhook_inbox_process('handle(webhook_event)', 's', 'acme');
SELECT event_id, attempt FROM effects;
SELECT event_id, state, attempt, last_error FROM webhook_inbox ORDER BY received_at;
CALL webhook_inbox_process('handle(webhook_event)', source => 'other');
CALL webhook_inbox_process('handle(webhook_event)', max_events => 1);
SELECT event_id FROM effects WHERE event_id IN ('o', 'g');
CALL webhook_inbox_process('handle(webhook_event)');
TRUNCATE webhook_inbox, effects;

-- At most max_events, each in transactions of its own.
CREATE FUNCTION note(event webhook_event) RETURNS xid8 LANGUAGE sql AS $$
	INSERT INTO effects VALUES (event.event_id, to_jsonb(pg_current_xact_id()::text), event.attempt) RETURNING pg_current_xact_id() $$;
SELECT count(webhook_inbox_record('acme', 's', i::text, stream => 'x')) FROM generate_series(1, 5) AS i;
CALL webhook_inbox_process('note(webhook_event)', max_events => 3);
SELECT count(*), count(DISTINCT payload) AS transactions FROM effects;
CALL webhook_inbox_process('note(webhook_event)');
SELECT string_agg(event_id, ' ') FROM effects;
TRUNCATE webhook_inbox, effects;

-- A deferred constraint that speaks up at the commit is the event's failure, too.
CREATE TABLE orders (id int PRIMARY KEY);
CREATE TABLE lines (order_id int REFERENCES orders DEFERRABLE INITIALLY DEFERRED);
CREATE FUNCTION add_line(event webhook_event) RETURNS void LANGUAGE sql AS 'INSERT INTO lines VALUES ((event.payload ->> 0)::int)';
INSERT INTO orders VALUES (1);
SELECT count(webhook_inbox_record('acme', 's', i::text, jsonb_build_array(3 - i))) FROM generate_series(1, 2) AS i;
CALL webhook_inbox_process('add_line(webhook_event)');
SELECT event_id, state, last_error FROM webhook_inbox ORDER BY 1;
TABLE lines;
TRUNCATE webhook_inbox;

-- A handler whose event is handed out again meanwhile: its effects are undone.
CREATE FUNCTION overtaken(event webhook_event) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO effects VALUES (event.event_id, NULL, event.attempt);
	PERFORM set_config('idempotency.clock_offset', '1h', true);
	IF event.attempt = 1 THEN
		PERFORM webhook_inbox_fetch(lease => '2h');
	END IF;
END $$;
SELECT outcome FROM webhook_inbox_record('acme', 's', 'slow');
CALL webhook_inbox_process('overtaken(webhook_event)');
SELECT event_id, state, attempt FROM webhook_inbox;
SELECT count(*) FROM effects;
TRUNCATE webhook_inbox, effects;

-- The handler runs as the caller.
CREATE ROLE regress_worker;
GRANT EXECUTE ON PROCEDURE webhook_inbox_process TO regress_worker;
CREATE FUNCTION who(event webhook_event) RETURNS void LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'I am %', current_user; END $$;
REVOKE EXECUTE ON FUNCTION handle FROM PUBLIC;
SELECT outcome FROM webhook_inbox_record('acme', 's', 'w');
SET ROLE regress_worker;
CALL webhook_inbox_process('who(webhook_event)');
\set VERBOSITY sqlstate
CALL webhook_inbox_process('handle(webhook_event)');
\set VERBOSITY default
RESET ROLE;
SELECT last_error FROM webhook_inbox;
REVOKE EXECUTE ON PROCEDURE webhook_inbox_process FROM regress_worker;
DROP ROLE regress_worker;
TRUNCATE webhook_inbox;

-- ... and as nobody else: what was set for one transaction ends at the commit.
CREATE ROLE regress_worker;
GRANT EXECUTE ON PROCEDURE webhook_inbox_process TO regress_worker;
CREATE FUNCTION change_role(event webhook_event) RETURNS void LANGUAGE plpgsql AS $$ BEGIN SET ROLE regress_worker; END $$;
SELECT count(webhook_inbox_record('acme', 's', i::text)) FROM generate_series(1, 3) AS i;
\set VERBOSITY terse
DO $$ BEGIN SET LOCAL ROLE regress_worker; CALL webhook_inbox_process('who(webhook_event)'); END $$;
DO $$ BEGIN SET LOCAL idempotency.tenant = 'acme'; CALL webhook_inbox_process('who(webhook_event)'); END $$;
CALL webhook_inbox_process('change_role(webhook_event)');
RESET ROLE;
\set VERBOSITY default
SELECT event_id, state, attempt, last_error FROM webhook_inbox ORDER BY 1;
REVOKE EXECUTE ON PROCEDURE webhook_inbox_process FROM regress_worker;
DROP ROLE regress_worker;
TRUNCATE webhook_inbox;

-- What it refuses.
CREATE FUNCTION several(event webhook_event) RETURNS SETOF int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION of_jsonb(event jsonb) RETURNS int LANGUAGE sql AS 'SELECT 1';
\set VERBOSITY sqlstate
CALL webhook_inbox_process(NULL);
CALL webhook_inbox_process('several(webhook_event)');
CALL webhook_inbox_process('of_jsonb(jsonb)');
CALL webhook_inbox_process(0);
CALL webhook_inbox_process('webhook_inbox_process(regprocedure, text, text, int)');
CALL webhook_inbox_process('handle(webhook_event)', max_events => 0);
CALL webhook_inbox_process('handle(webhook_event)', max_events => NULL);
CALL webhook_inbox_process('handle(webhook_event)', source => '');
BEGIN;
CALL webhook_inbox_process('handle(webhook_event)');
ROLLBACK;
DO $$ BEGIN BEGIN CALL webhook_inbox_process('handle(webhook_event)'); EXCEPTION WHEN SQLSTATE 'XX888' THEN END; END $$;
\set VERBOSITY default
BEGIN;
CALL webhook_inbox_process('handle(webhook_event)');
ROLLBACK;
CALL webhook_inbox_process('of_jsonb(jsonb)');
-- ... but another procedure may call it
SELECT outcome FROM webhook_inbox_record('acme', 's', 'nested', '{}');
DO $$ BEGIN CALL webhook_inbox_process('handle(webhook_event)'); COMMIT; END $$;
SELECT event_id FROM effects;
-- and a handler may record, and be cancelled
CREATE FUNCTION follow(event webhook_event) RETURNS void LANGUAGE sql AS $$
	SELECT webhook_inbox_record('acme', 's', 'after ' || event.event_id) WHERE event.attempt = 1 AND length(event.event_id) < 20 $$;
CREATE FUNCTION dawdle(event webhook_event) RETURNS void LANGUAGE sql AS 'SELECT pg_sleep(100) FROM pg_cancel_backend(pg_backend_pid())';
SELECT outcome FROM webhook_inbox_record('acme', 's', 'first');
CALL webhook_inbox_process('follow(webhook_event)');
SELECT event_id, state FROM webhook_inbox ORDER BY received_at;
SELECT outcome FROM webhook_inbox_record('acme', 's', 'dawdle');
CALL webhook_inbox_process('dawdle(webhook_event)');
SELECT state, attempt, last_error FROM webhook_inbox WHERE event_id = 'dawdle';
-- ... also while it commits
CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(100) FROM pg_cancel_backend(pg_backend_pid()); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER dawdle AFTER INSERT ON effects DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION dawdle();
SELECT count(webhook_inbox_record('acme', 's', 'at commit ' || i, '{}')) FROM generate_series(1, 2) AS i;
CALL webhook_inbox_process('handle(webhook_event)');
SELECT event_id, state, attempt, last_error FROM webhook_inbox WHERE event_id LIKE 'at commit%' ORDER BY 1;

DROP FUNCTION handle, note, add_line, overtaken, who, several, of_jsonb, follow, dawdle(webhook_event), change_role;
DROP TABLE effects, lines, orders;
DROP FUNCTION dawdle();
TRUNCATE webhook_inbox;
