-- What a worker says of an event: done, or failed.
CREATE FUNCTION rec(event_id text) RETURNS text LANGUAGE sql AS $$ SELECT outcome FROM webhook_inbox_record('acme', 's', event_id) $$;
SELECT rec('a');
SELECT token AS t FROM webhook_inbox_fetch() \gset
SELECT webhook_inbox_complete('acme', 's', 'a', :t);
SELECT state, due_at, attempt, expires_at - finished_at AS kept FROM webhook_inbox;
-- The answer may be lost.  Whoever does it all again is refused, with all the effects.
SELECT finished_at AS then FROM webhook_inbox \gset
SELECT webhook_inbox_complete('acme', 's', 'a', :t);
SELECT finished_at = :'then' AS unchanged FROM webhook_inbox;

-- An outdated token, one that never was, and no such event.
\set VERBOSITY sqlstate
SELECT webhook_inbox_complete('acme', 's', 'a', :t - 1);
SELECT webhook_inbox_fail('acme', 's', 'a', :t, 'late');
SELECT webhook_inbox_complete('globex', 's', 'a', :t);
SELECT webhook_inbox_complete('acme', 'other', 'a', :t);
SELECT webhook_inbox_fail('acme', 's', 'b', :t, 'x');
SELECT rec('b');
SELECT webhook_inbox_complete('acme', 's', 'b', 0);
SELECT webhook_inbox_fail('acme', 's', 'b', 0, 'x');
SELECT outcome FROM webhook_inbox_record('acme', 's', 'p', processed => true);
SELECT webhook_inbox_complete('acme', 's', 'p', 0);
\set VERBOSITY default
SELECT token AS t FROM webhook_inbox_fetch(lease => '0') \gset
SELECT token AS t2 FROM webhook_inbox_fetch() \gset
SELECT webhook_inbox_complete('acme', 's', 'b', :t);
SELECT webhook_inbox_fail('acme', 's', 'b', :t, 'late');
SELECT webhook_inbox_complete('acme', 's', 'none', :t);
SELECT state, last_error FROM webhook_inbox WHERE event_id = 'b';
-- A lapsed lease that nobody took over is as good as any.
SET idempotency.clock_offset = '1h';
SELECT webhook_inbox_complete('acme', 's', 'b', :t2);
RESET idempotency.clock_offset;

-- Failing: once more later, exponentially, with jitter below.
TRUNCATE webhook_inbox;
CREATE FUNCTION fail_all() RETURNS TABLE (attempt int, state text, shortest interval, longest interval, jitter boolean)
LANGUAGE plpgsql AS $$
DECLARE
	e webhook_event;
	delays interval[];
	s text;
BEGIN
	FOR n IN 1 .. 12 LOOP
		delays := '{}';
		FOR i IN 1 .. 20 LOOP
			PERFORM rec('f' || i) WHERE n = 1;
			UPDATE webhook_inbox SET due_at = received_at WHERE event_id = 'f' || i AND due_at IS NOT NULL;
			SELECT * INTO e FROM webhook_inbox_fetch();
			EXIT WHEN NOT FOUND;
			s := webhook_inbox_fail(e.tenant_id, e.source, e.event_id, e.token, 'attempt ' || e.attempt);
			delays := delays || (SELECT due_at - to_timestamp(e.token / 1000000.0) FROM webhook_inbox AS w WHERE w.event_id = e.event_id);
		END LOOP;
		attempt := n;
		state := s;
		shortest := (SELECT min(d) FROM unnest(delays) AS d);
		longest := (SELECT max(d) FROM unnest(delays) AS d);
		jitter := longest > shortest * 1.1;
		RETURN NEXT;
		EXIT WHEN s = 'dead';
	END LOOP;
END $$;
SELECT attempt, state, jitter,
	shortest >= 2.5 * 2 ^ (attempt - 1) * interval '1 s' AS not_less_than_half,
	longest <= 5 * 2 ^ (attempt - 1) * interval '1 s' + '5 s' AS not_more FROM fail_all();
SELECT DISTINCT state, attempt, last_error, due_at, expires_at - finished_at AS kept FROM webhook_inbox;
-- ... up to the longest delay
TRUNCATE webhook_inbox;
SET idempotency.webhook_backoff_base = '1 min';
SET idempotency.webhook_backoff_max = '90 s';
SET idempotency.webhook_max_attempts = 4;
SELECT attempt, state, shortest BETWEEN '30 s' AND '45 s' AS one_minute, shortest >= '45 s' AND longest <= '95 s' AS at_most FROM fail_all();
RESET idempotency.webhook_backoff_base;
RESET idempotency.webhook_backoff_max;
RESET idempotency.webhook_max_attempts;
DROP FUNCTION fail_all;

-- ... or when the worker says
TRUNCATE webhook_inbox;
SELECT rec('r');
SELECT token AS t FROM webhook_inbox_fetch() \gset
SELECT webhook_inbox_fail('acme', 's', 'r', :t, 'rate limited', '90 min');
SELECT due_at - clock_timestamp() BETWEEN '89 min' AND '90 min' AS as_told, last_error, state FROM webhook_inbox;
-- once
SELECT webhook_inbox_fail('acme', 's', 'r', :t, 'again', '0');
SELECT due_at - clock_timestamp() BETWEEN '89 min' AND '90 min' AS as_told, last_error FROM webhook_inbox;
\set VERBOSITY sqlstate
SELECT webhook_inbox_complete('acme', 's', 'r', :t);
\set VERBOSITY default
SELECT count(*) FROM webhook_inbox_fetch();
SET idempotency.clock_offset = '91 min';
SELECT token AS t, attempt FROM webhook_inbox_fetch() \gset
SET idempotency.webhook_max_attempts = 2;
SELECT webhook_inbox_fail('acme', 's', 'r', :t, NULL, '1 min');
SELECT webhook_inbox_fail('acme', 's', 'r', :t, 'again');
SELECT state, last_error FROM webhook_inbox;
RESET idempotency.webhook_max_attempts;
RESET idempotency.clock_offset;

DROP FUNCTION rec;
TRUNCATE webhook_inbox;
