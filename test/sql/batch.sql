-- Recording many events at once.
SELECT * FROM webhook_inbox_record_batch('acme', 'stripe', '[
	{"event_id": "b", "payload": {"n": 1}, "event_type": "paid", "headers": {"h": 1}},
	{"event_id": "a", "payload": {"n": 2}, "stream": "s", "sequence": 2},
	{"event_id": "c", "processed": true, "ttl": "2 hours"},
	{"event_id": "d", "stream": "s", "sequence": "1", "payload": null, "event_type": null, "headers": null, "ttl": null, "processed": null}]');
SELECT event_id, state, payload, event_type, headers, stream, sequence, ttl, expires_at - finished_at AS kept
FROM webhook_inbox ORDER BY received_at;

-- Duplicates of what is there, and of each other.
SELECT * FROM webhook_inbox_record_batch('acme', 'stripe', '[
	{"event_id": "x", "payload": 1}, {"event_id": "b", "payload": {"n": 1.0}}, {"event_id": "x", "payload": 2},
	{"event_id": "a", "payload": {"n": 3}}, {"event_id": "c"}, {"event_id": "x", "payload": 1}]');
SELECT event_id, payload FROM webhook_inbox WHERE event_id = 'x';
SELECT * FROM webhook_inbox_record_batch('acme', 'stripe', '[]');
SELECT outcome FROM webhook_inbox_record_batch('globex', 'stripe', '[{"event_id": "b"}]');

-- Events are due at once and in their order, a stream's in that of its sequence.
SELECT event_id, stream FROM webhook_inbox_fetch(10, tenant_id => 'acme');
TRUNCATE webhook_inbox;
SELECT count(*) FROM webhook_inbox_record_batch('acme', 'stripe',
	(SELECT jsonb_agg(jsonb_build_object('event_id', 'e' || (7 * i % 100), 'stream', CASE WHEN i % 2 = 0 THEN 'even' END)) FROM generate_series(1, 99) AS i));
SELECT string_agg(event_id, ' ') FROM webhook_inbox_fetch(5);
SELECT count(*) FROM webhook_inbox_fetch(100);
TRUNCATE webhook_inbox;

-- An element that has expired is recorded anew.
SELECT outcome FROM webhook_inbox_record_batch('acme', 'q', '[{"event_id": "1", "processed": true, "ttl": "1h"}, {"event_id": "2", "processed": true}]');
SET idempotency.clock_offset = '2h';
SELECT event_id, outcome, state FROM webhook_inbox_record_batch('acme', 'q', '[{"event_id": "1"}, {"event_id": "2"}, {"event_id": "1"}, {"event_id": "3"}]');
RESET idempotency.clock_offset;
TRUNCATE webhook_inbox;

-- ... also as the first of a stream, whose others count on it
SELECT outcome FROM webhook_inbox_record('acme', 'q', '1', processed => true, ttl => '0');
SELECT event_id, outcome FROM webhook_inbox_record_batch('acme', 'q', '[{"event_id": "1", "stream": "s"}, {"event_id": "2", "stream": "s"}, {"event_id": "1", "stream": "s"}]');
SELECT event_id FROM webhook_inbox_fetch(5, lease => '0');
TRUNCATE webhook_inbox;

-- The first of a stream may be known already; the next one gets its turn.
SELECT outcome FROM webhook_inbox_record('acme', 'q', '1', stream => 's', processed => true);
SELECT event_id, outcome FROM webhook_inbox_record_batch('acme', 'q', '[{"event_id": "1", "stream": "s"}, {"event_id": "2", "stream": "s"}, {"event_id": "3", "stream": "s"}]');
SELECT webhook_inbox_complete(tenant_id, source, event_id, token), event_id FROM webhook_inbox_fetch(5);
SELECT webhook_inbox_complete(tenant_id, source, event_id, token), event_id FROM webhook_inbox_fetch(5);
SELECT count(*) FROM webhook_inbox_fetch(5);
TRUNCATE webhook_inbox;

-- One bad element refuses all of them, and is named.
CREATE FUNCTION refuse(events jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	hint text;
BEGIN
	PERFORM webhook_inbox_record_batch('acme', 'stripe', events);
	RETURN 'accepted';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
	RETURN SQLSTATE || ' ' || SQLERRM || CASE WHEN hint = '' THEN ' (no hint)' ELSE '' END;
END $$;
SELECT refuse(events::jsonb) FROM (VALUES (1, NULL), (2, '{}'), (3, '"a"'), (4, 'null'), (5, '[1]'), (6, '[[]]'), (7, '[{"event_id": "a"}, null]'),
	(8, '[{"event_id": "a"}, {}]'), (9, '[{"event_id": "a"}, {"event_id": ""}]'), (10, '[{"event_id": "a"}, {"event_id": null}]'),
	(11, '[{"event_id": "a"}, {"event_id": 1}]'), (12, '[{"event_id": "a\tb"}]'), (13, '[{"event_id": "a"}, {"event_id": "b", "stream": ""}]'),
	(14, '[{"event_id": "a", "stream": "a\nb"}]'), (15, '[{"event_id": "a", "stream": 1}]'), (16, '[{"event_id": "a", "sequence": 1.5}]'),
	(17, '[{"event_id": "a", "sequence": 9223372036854775808}]'), (18, '[{"event_id": "a", "sequence": ""}]'), (19, '[{"event_id": "a", "sequence": []}]'),
	(20, '[{"event_id": "a", "ttl": "-1s"}]'), (21, '[{"event_id": "a", "ttl": "soon"}]'), (22, '[{"event_id": "a", "ttl": "300000 years"}]'),
	(23, '[{"event_id": "a", "ttl": "290000 years"}]'), (24, '[{"event_id": "a", "ttl": {}}]'),
	(25, '[{"event_id": "a", "processed": "yes"}]'), (26, '[{"event_id": "a", "event_type": 1}]'), (27, '[{"event_id": "a"}, {"event_id": "b", "eventType": "x"}]'),
	(28, '[{"event_id": "a", "tenant_id": "globex"}]')) AS v (n, events) ORDER BY n;
SELECT refuse(jsonb_build_array(jsonb_build_object('event_id', repeat('x', 256)))),
	refuse(jsonb_build_array(jsonb_build_object('event_id', 'a', 'stream', repeat('x', 256))));
SELECT count(*) FROM webhook_inbox;
SELECT refuse(jsonb_build_array(jsonb_build_object('event_id', repeat('x', 255), 'stream', repeat('y', 255), 'sequence', -9223372036854775808, 'ttl', 60)));
SELECT length(event_id), length(stream), sequence, ttl FROM webhook_inbox;

DROP FUNCTION refuse;
TRUNCATE webhook_inbox;
