-- Handing out finished events anew.
SELECT count(webhook_inbox_record('acme', CASE WHEN i % 2 = 0 THEN 'even' ELSE 'odd' END, i::text)) FROM generate_series(1, 6) AS i;
SELECT outcome FROM webhook_inbox_record('globex', 'odd', '7');
SET idempotency.webhook_max_attempts = 1;
SELECT event_id, webhook_inbox_fail(tenant_id, source, event_id, token, 'oops') FROM webhook_inbox_fetch(10);
SELECT outcome, state FROM webhook_inbox_record('acme', 'odd', '1');

-- One: dead or processed, but nothing else.
SELECT webhook_inbox_requeue('acme', 'odd', '1');
SELECT state, attempt, due_at IS NOT NULL AS due, finished_at, expires_at, last_error FROM webhook_inbox WHERE event_id = '1';
SELECT webhook_inbox_requeue('acme', 'odd', '1');
SELECT event_id, attempt, token AS t FROM webhook_inbox_fetch() \gset
SELECT :'event_id', :attempt;
SELECT webhook_inbox_requeue('acme', 'odd', '1');
SELECT webhook_inbox_complete('acme', 'odd', '1', :t);
SELECT webhook_inbox_requeue('acme', 'odd', '1');
-- the old token holds nothing any more
\set VERBOSITY sqlstate
SELECT webhook_inbox_complete('acme', 'odd', '1', :t);
SELECT webhook_inbox_fail('acme', 'odd', '1', :t, 'x');
\set VERBOSITY default
SELECT webhook_inbox_requeue('acme', 'odd', 'none');
SELECT webhook_inbox_requeue('globex', 'odd', '1');

-- Many: those that died first, of a tenant, of a source, of all.
SELECT webhook_inbox_requeue_dead('acme', 'even', 1);
SELECT event_id FROM webhook_inbox WHERE source = 'even' AND state = 'pending';
SELECT webhook_inbox_requeue_dead('acme', 'even');
SELECT webhook_inbox_requeue_dead('acme', 'even');
SELECT webhook_inbox_requeue_dead('globex');
SELECT webhook_inbox_requeue_dead(source => 'odd');
SELECT webhook_inbox_requeue_dead();
SELECT state, count(*), max(attempt) FROM webhook_inbox GROUP BY state;
SELECT count(*) FROM webhook_inbox_fetch(10);
-- An event that has expired is none.
SELECT event_id, webhook_inbox_fail(tenant_id, source, event_id, token, 'oops') FROM webhook_inbox WHERE event_id IN ('2', '4');
SELECT event_id FROM webhook_inbox_fetch(10);
SET idempotency.clock_offset = '8 days';
SELECT webhook_inbox_requeue('acme', 'even', '2');
SELECT webhook_inbox_requeue_dead();
RESET idempotency.clock_offset;
SELECT webhook_inbox_requeue_dead();
RESET idempotency.webhook_max_attempts;
TRUNCATE webhook_inbox;
