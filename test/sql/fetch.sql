-- Handing out events.
SELECT count(*) FROM webhook_inbox_fetch();
SELECT count(webhook_inbox_record('acme', CASE WHEN i % 2 = 0 THEN 'even' ELSE 'odd' END, i::text)) FROM generate_series(1, 8) AS i;
SELECT count(webhook_inbox_record('globex', 'odd', i::text)) FROM generate_series(9, 10) AS i;

-- One by default, the oldest first, each to one worker.
SELECT event_id, attempt, token > 0 AS has_token, late FROM webhook_inbox_fetch();
SELECT event_id FROM webhook_inbox_fetch(2);
-- Of a source, of a tenant, of both.
SELECT tenant_id, source, event_id FROM webhook_inbox_fetch(10, 'even');
SELECT tenant_id, source, event_id FROM webhook_inbox_fetch(1, tenant_id => 'globex');
SELECT tenant_id, source, event_id FROM webhook_inbox_fetch(10, 'odd', 'acme');
SELECT count(*) FROM webhook_inbox_fetch(10, 'none');
SELECT count(*) FROM webhook_inbox_fetch(10, tenant_id => 'none');
SELECT event_id FROM webhook_inbox_fetch(10);
SELECT count(*) FROM webhook_inbox_fetch(10);
SELECT DISTINCT state, attempt FROM webhook_inbox;

-- A rollback gives them back, with their attempt.
TRUNCATE webhook_inbox;
SELECT outcome FROM webhook_inbox_record('acme', 's', 'e');
BEGIN;
SELECT attempt FROM webhook_inbox_fetch();
ROLLBACK;
BEGIN;
SAVEPOINT s;
SELECT attempt FROM webhook_inbox_fetch();
ROLLBACK TO s;
SELECT attempt FROM webhook_inbox_fetch();
SELECT count(*) FROM webhook_inbox_fetch();
COMMIT;

-- A lease that lapses counts as an attempt.  The token grows.
SELECT token AS first_token FROM webhook_inbox \gset
SELECT due_at - to_timestamp(token / 1000000.0) BETWEEN '4 min' AND '6 min' AS five_minutes FROM webhook_inbox;
SET idempotency.clock_offset = '4 min';
SELECT count(*) FROM webhook_inbox_fetch();
SET idempotency.clock_offset = '6 min';
SELECT attempt, token > :first_token AS grown FROM webhook_inbox_fetch(lease => '1 day');
SELECT last_error FROM webhook_inbox;
SET idempotency.clock_offset = '23h';
SELECT count(*) FROM webhook_inbox_fetch();
RESET idempotency.clock_offset;
-- ... and one that lasts no time lapses at once, but never for the same call
TRUNCATE webhook_inbox;
SELECT outcome FROM webhook_inbox_record('acme', 's', 'e');
SELECT attempt FROM webhook_inbox_fetch(5, lease => '0');
SELECT attempt FROM webhook_inbox_fetch(5, lease => '0');
SET idempotency.webhook_lease = 0;
SELECT attempt FROM webhook_inbox_fetch(5);
RESET idempotency.webhook_lease;
SELECT attempt FROM webhook_inbox_fetch(5);

-- An event that kills its worker each time ends up dead.
TRUNCATE webhook_inbox;
SET idempotency.webhook_max_attempts = 2;
SELECT outcome FROM webhook_inbox_record('acme', 's', 'killer');
SELECT outcome FROM webhook_inbox_record('acme', 's', 'killer in stream', stream => 'x');
SELECT outcome FROM webhook_inbox_record('acme', 's', 'next in stream', stream => 'x');
SELECT event_id, attempt FROM webhook_inbox_fetch(5, lease => '0');
SELECT event_id, attempt FROM webhook_inbox_fetch(5, lease => '0');
SELECT event_id, attempt FROM webhook_inbox_fetch(5);
SELECT event_id, state, attempt, last_error, expires_at - finished_at AS kept FROM webhook_inbox ORDER BY received_at;
SELECT webhook_inbox_complete('acme', 's', 'next in stream', token) FROM webhook_inbox WHERE event_id = 'next in stream';
SELECT count(*) FROM webhook_inbox_fetch(5);
SELECT count(*) FROM webhook_inbox WHERE due_at IS NOT NULL;
RESET idempotency.webhook_max_attempts;

-- Any number of leases that lapsed, in one transaction.
TRUNCATE webhook_inbox;
SELECT count(*) FROM webhook_inbox_record_batch('acme', 's', (SELECT jsonb_agg(jsonb_build_object('event_id', i::text)) FROM generate_series(1, 2000) AS i));
SELECT count(*) FROM webhook_inbox_fetch(2000, lease => '0');
SELECT count(*) FROM webhook_inbox_fetch(2000);

-- What has failed comes after what has been due longer.
TRUNCATE webhook_inbox;
SELECT count(webhook_inbox_record('acme', 's', i::text)) FROM generate_series(1, 3) AS i;
SELECT event_id, webhook_inbox_fail('acme', 's', event_id, token, 'oops', '0') FROM webhook_inbox_fetch();
SELECT event_id FROM webhook_inbox_fetch();
SELECT event_id FROM webhook_inbox_fetch(5);

-- Fetched and completed in one statement.
TRUNCATE webhook_inbox;
SELECT count(webhook_inbox_record('acme', 's', i::text)) FROM generate_series(1, 100) AS i;
SELECT count(webhook_inbox_complete(tenant_id, source, event_id, token)) FROM webhook_inbox_fetch(60);
SELECT count(webhook_inbox_complete(tenant_id, source, event_id, token)) FROM webhook_inbox_fetch(60);
SELECT state, count(*) FROM webhook_inbox GROUP BY state;

-- Recorded, fetched and completed in one transaction.
TRUNCATE webhook_inbox;
BEGIN;
SELECT outcome FROM webhook_inbox_record('acme', 's', '1', stream => 'x');
SELECT outcome FROM webhook_inbox_record('acme', 's', '2', stream => 'x');
SELECT event_id FROM webhook_inbox_fetch(5);
SELECT webhook_inbox_complete('acme', 's', '1', token) FROM webhook_inbox WHERE event_id = '1';
SELECT event_id FROM webhook_inbox_fetch(5);
SELECT webhook_inbox_complete('acme', 's', '2', token) FROM webhook_inbox WHERE event_id = '2';
SELECT count(*) FROM webhook_inbox_fetch(5);
COMMIT;
SELECT event_id, state, due_at FROM webhook_inbox ORDER BY 1;
TRUNCATE webhook_inbox;
