-- Recording an event, once.
CREATE FUNCTION rec(event_id text, payload jsonb DEFAULT NULL) RETURNS TABLE (outcome text, state text, payload_changed boolean)
LANGUAGE sql AS $$ SELECT outcome, state, payload_changed FROM webhook_inbox_record('acme', 'stripe', event_id, payload) $$;

SELECT * FROM rec('evt_1', '{"amount": 100, "type": "paid"}');
SELECT source, event_id, payload, state, attempt, due_at = received_at AS due, finished_at, expires_at FROM webhook_inbox;

-- A redelivery changes nothing, and tells whether it differs by value.
SELECT * FROM rec('evt_1', '{"type": "paid", "amount": 100.0}');
SELECT * FROM rec('evt_1', '{"amount": 101, "type": "paid"}');
SELECT * FROM rec('evt_1');
SELECT payload FROM webhook_inbox;
SELECT r.received_at = i.received_at AS of_the_first
FROM webhook_inbox AS i, webhook_inbox_record('acme', 'stripe', 'evt_1') AS r;
SELECT * FROM rec('no payload');
SELECT * FROM rec('no payload', '1');

-- An event belongs to its tenant and its source.
SELECT outcome FROM webhook_inbox_record('globex', 'stripe', 'evt_1');
SELECT outcome FROM webhook_inbox_record('acme', 'github', 'evt_1');
SELECT count(*) FROM webhook_inbox;
TRUNCATE webhook_inbox;

-- What was passed is kept for the worker.
SELECT outcome FROM webhook_inbox_record('acme', 'stripe', 'evt_2', '{"a": [1, null]}', 'invoice.paid',
	'{"Stripe-Version": "2024"}', 'cus_1', 7, ttl => '3 days');
SELECT payload, event_type, headers, stream, sequence, ttl FROM webhook_inbox;
SELECT event_id, attempt, event_type, payload, headers, stream, sequence, late FROM webhook_inbox_fetch();

-- The state that a duplicate finds.
SELECT outcome, state FROM webhook_inbox_record('acme', 'stripe', 'evt_2');
SELECT webhook_inbox_complete('acme', 'stripe', 'evt_2', token) FROM webhook_inbox;
SELECT outcome, state FROM webhook_inbox_record('acme', 'stripe', 'evt_2');

-- It is kept for its ttl, counted from when it was finished; after that it is no event.
SELECT expires_at - finished_at AS kept FROM webhook_inbox;
SET idempotency.clock_offset = '71 hours';
SELECT outcome FROM webhook_inbox_record('acme', 'stripe', 'evt_2');
SELECT count(*) FROM webhook_inbox_fetch();
SET idempotency.clock_offset = '73 hours';
SELECT outcome, state FROM webhook_inbox_record('acme', 'stripe', 'evt_2', '"anew"');
SELECT payload, attempt, state, stream, ttl FROM webhook_inbox;
-- ... but an event that is not finished never expires
SET idempotency.clock_offset = '100 years';
SELECT outcome, state FROM webhook_inbox_record('acme', 'stripe', 'evt_2');
RESET idempotency.clock_offset;
TRUNCATE webhook_inbox;

-- Consumer deduplication: the effects are the recording transaction's.
BEGIN;
SELECT outcome, state FROM webhook_inbox_record('acme', 'orders', 'offset-1', processed => true);
COMMIT;
SELECT outcome, state FROM webhook_inbox_record('acme', 'orders', 'offset-1', processed => true);
BEGIN;
SELECT outcome FROM webhook_inbox_record('acme', 'orders', 'offset-2', processed => true);
ROLLBACK;
SELECT outcome FROM webhook_inbox_record('acme', 'orders', 'offset-2', processed => true, ttl => '1 hour');
SELECT event_id, due_at, expires_at - finished_at AS kept FROM webhook_inbox ORDER BY 1;
SELECT count(*) FROM webhook_inbox_fetch(10);
SET idempotency.webhook_ttl = '2h';
SELECT outcome FROM webhook_inbox_record('acme', 'orders', 'offset-3', processed => true);
SELECT expires_at - finished_at AS kept FROM webhook_inbox WHERE event_id = 'offset-3';
SET idempotency.clock_offset = '3h';
SELECT outcome FROM webhook_inbox_record('acme', 'orders', 'offset-3', processed => true);
RESET idempotency.clock_offset;
RESET idempotency.webhook_ttl;

-- A savepoint takes the record, and its lock, back.
BEGIN;
SAVEPOINT s;
SELECT outcome FROM webhook_inbox_record('acme', 'orders', 'saved');
SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 7649;
ROLLBACK TO s;
SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 7649;
SELECT outcome FROM webhook_inbox_record('acme', 'orders', 'saved');
SELECT outcome FROM webhook_inbox_record('acme', 'orders', 'saved');
COMMIT;
-- A duplicate keeps no lock.
BEGIN;
SELECT outcome FROM webhook_inbox_record('acme', 'orders', 'saved', stream => 's');
SELECT count(*) FROM pg_locks WHERE locktype = 'advisory';
COMMIT;

-- One transaction may record more events than there are locks.
SELECT count(*) FILTER (WHERE outcome = 'recorded') AS recorded
FROM generate_series(1, 20000) AS i, webhook_inbox_record('acme', 'many', i::text, stream => 's' || i % 5000);

-- Notification, off by default.
SHOW idempotency.webhook_notify;
LISTEN webhook_inbox;
SELECT outcome FROM webhook_inbox_record('acme', 'stripe', 'quiet');
SET idempotency.webhook_notify = on;
\o | sed 's/ received from .*//'
SELECT outcome FROM webhook_inbox_record('acme', 'stripe', 'loud');
SELECT outcome FROM webhook_inbox_record('acme', 'stripe', 'loud');
SELECT outcome FROM webhook_inbox_record('acme', 'orders', 'processed', processed => true);
SELECT outcome FROM webhook_inbox_record_batch('acme', 'github', '[{"event_id": "x"}, {"event_id": "y"}]');
\o
UNLISTEN *;
RESET idempotency.webhook_notify;

DROP FUNCTION rec;
TRUNCATE webhook_inbox;
