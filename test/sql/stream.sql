-- Streams: one event in flight, in order.
CREATE FUNCTION rec(event_id text, stream text, sequence bigint DEFAULT NULL) RETURNS text
LANGUAGE sql AS $$ SELECT outcome FROM webhook_inbox_record('acme', 's', event_id, stream => stream, sequence => sequence) $$;
CREATE FUNCTION next_events() RETURNS TABLE (event text) LANGUAGE sql AS $$
	SELECT event_id || CASE WHEN late THEN ' (late)' ELSE '' END FROM webhook_inbox_fetch(10, lease => '1h') $$;
CREATE FUNCTION complete(id text) RETURNS void LANGUAGE sql AS $$
	SELECT webhook_inbox_complete('acme', 's', id, token) FROM webhook_inbox WHERE event_id = id $$;
CREATE FUNCTION fail(id text, retry_in interval DEFAULT NULL) RETURNS text LANGUAGE sql AS $$
	SELECT webhook_inbox_fail('acme', 's', id, token, 'oops', retry_in) FROM webhook_inbox WHERE event_id = id $$;

-- By sequence, whatever the order of arrival; without one by arrival, behind those with one.
SELECT rec('c', 'x', 3), rec('n1', 'x'), rec('a', 'x', 1), rec('n2', 'x'), rec('b', 'x', 2), rec('other', 'y');
SELECT * FROM next_events();
SELECT * FROM next_events();
SELECT complete('a');
SELECT * FROM next_events();
SELECT complete('b');
SELECT * FROM next_events();
SELECT complete('c');
SELECT * FROM next_events();
SELECT complete('n1');
SELECT * FROM next_events();
SELECT complete('n2');
SELECT * FROM next_events();
TRUNCATE webhook_inbox;

-- A stream belongs to a tenant and a source.
SELECT rec('a', 'x');
SELECT outcome FROM webhook_inbox_record('acme', 'other', 'a', stream => 'x');
SELECT outcome FROM webhook_inbox_record('globex', 's', 'a', stream => 'x');
SELECT tenant_id, source FROM webhook_inbox_fetch(10);
TRUNCATE webhook_inbox;

-- A lower sequence that comes while a higher one is in flight waits, and goes before the next.
SELECT rec('5', 'x', 5), rec('6', 'x', 6);
SELECT * FROM next_events();
SELECT rec('4', 'x', 4);
SELECT * FROM next_events();
SELECT complete('5');
SELECT * FROM next_events();
SELECT complete('4');
SELECT * FROM next_events();
SELECT complete('6');
SELECT rec('7', 'x', 7), rec('3', 'x', 3), rec('none', 'x');
SELECT * FROM next_events();
SELECT complete('3');
SELECT * FROM next_events();
TRUNCATE webhook_inbox;

-- The head is retried: its stream waits, others go on.
SELECT rec('a1', 'a'), rec('a2', 'a'), rec('b1', 'b'), rec('b2', 'b');
SELECT * FROM next_events();
SELECT fail('a1', '1h'), complete('b1');
SELECT * FROM next_events();
SET idempotency.clock_offset = '59min';
SELECT complete('b2');
SELECT * FROM next_events();
SET idempotency.clock_offset = '61min';
SELECT * FROM next_events();
-- ... but a lower sequence needs not wait for it
TRUNCATE webhook_inbox;
SELECT rec('2', 'x', 2), rec('3', 'x', 3);
SELECT * FROM next_events();
SELECT fail('2', '1h');
SELECT rec('1', 'x', 1);
SELECT * FROM next_events();
SELECT complete('1');
SELECT * FROM next_events();
SET idempotency.clock_offset = '3h';
SELECT * FROM next_events();
RESET idempotency.clock_offset;

-- The head is dead: the stream goes on.
TRUNCATE webhook_inbox;
SELECT rec('1', 'x'), rec('2', 'x'), rec('3', 'x');
SET idempotency.webhook_max_attempts = 1;
SELECT * FROM next_events();
SELECT fail('1');
SELECT * FROM next_events();
SELECT fail('2');
RESET idempotency.webhook_max_attempts;
-- ... until the dead is requeued: it is the first again
SELECT webhook_inbox_requeue('acme', 's', '1');
SELECT * FROM next_events();
SELECT complete('1');
SELECT * FROM next_events();
SELECT complete('3');
SELECT webhook_inbox_requeue('acme', 's', '2');
SELECT * FROM next_events();
SELECT complete('2');
SELECT * FROM next_events();
SELECT count(*) AS turns_left FROM webhook_inbox WHERE due_at IS NOT NULL;

-- A lapsed head is the first again, unless a lower one has come.
TRUNCATE webhook_inbox;
SELECT rec('2', 'x', 2), rec('3', 'x', 3);
SELECT event_id, attempt FROM webhook_inbox_fetch(10, lease => '0');
SELECT event_id, attempt FROM webhook_inbox_fetch(10, lease => '0');
SELECT rec('1', 'x', 1);
SELECT event_id, attempt FROM webhook_inbox_fetch(10);
SELECT event_id, attempt FROM webhook_inbox_fetch(10);
SELECT complete('1');
SELECT event_id, attempt FROM webhook_inbox_fetch(10);

-- ... and whoever had it then has nothing any more: one event in flight
TRUNCATE webhook_inbox;
SELECT rec('2', 'x', 2);
SELECT token AS t FROM webhook_inbox_fetch(lease => '0') \gset
SELECT rec('1', 'x', 1);
SELECT * FROM next_events();
\set VERBOSITY sqlstate
SELECT webhook_inbox_complete('acme', 's', '2', :t);
\set VERBOSITY default
SELECT event_id, state, last_error FROM webhook_inbox ORDER BY 1;

-- What was processed when it was recorded counts for late, and for nothing else.
TRUNCATE webhook_inbox;
SELECT outcome FROM webhook_inbox_record('acme', 's', '9', stream => 'x', sequence => 9, processed => true);
SELECT rec('8', 'x', 8);
SELECT * FROM next_events();
SELECT complete('8');

-- Events that wait have no turn, however they were recorded.
TRUNCATE webhook_inbox;
SELECT count(webhook_inbox_record('acme', 's', 'one by one ' || i, stream => 'x')) FROM generate_series(1, 2000) AS i;
SELECT count(*) FROM webhook_inbox_record_batch('acme', 's',
	(SELECT jsonb_agg(jsonb_build_object('event_id', 'batch ' || i, 'stream', 'y')) FROM generate_series(1, 2000) AS i));
SELECT count(*) FROM webhook_inbox_record_batch('acme', 's',
	(SELECT jsonb_agg(jsonb_build_object('event_id', 'done ' || i, 'stream', 'x', 'sequence', i, 'processed', true)) FROM generate_series(1, 2000) AS i));
SELECT count(*) FROM next_events();
SELECT stream, count(*) AS turns FROM webhook_inbox WHERE due_at IS NOT NULL GROUP BY 1 ORDER BY 1;

-- Events that got turns of their own lose them when a fetch comes across.
TRUNCATE webhook_inbox;
SELECT count(webhook_inbox_record('acme', 's', i::text, stream => 'x')) FROM generate_series(1, 100) AS i;
UPDATE webhook_inbox SET due_at = received_at;
SELECT * FROM next_events();
SELECT * FROM next_events();
SELECT count(*) AS turns FROM webhook_inbox WHERE due_at IS NOT NULL;
SELECT complete('1');
SELECT * FROM next_events();

-- What savepoints that were rolled back had locked is not held against their
-- transaction: 600 times 3 streams are more than it may lock.
TRUNCATE webhook_inbox;
SELECT rec(i::text, i::text) FROM generate_series(1, 3) AS i;
BEGIN;
DO $$ BEGIN
	FOR i IN 1 .. 600 LOOP
		BEGIN
			PERFORM next_events();
			RAISE EXCEPTION 'undo';
		EXCEPTION WHEN raise_exception THEN
		END;
	END LOOP;
END $$;
SELECT * FROM next_events();
COMMIT;

DROP FUNCTION rec, next_events, complete, fail;
TRUNCATE webhook_inbox;
