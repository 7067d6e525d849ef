-- What is stored, in every state: sessions with the library of another version
-- read it, and rows outlive the version that wrote them.
TRUNCATE webhook_inbox, idempotency_keys;
\x
CREATE VIEW stored_keys AS
	SELECT key, token = extract(epoch FROM created_at) * 1000000 AS token_is_time, attempt, request_hash IS NOT NULL AS hash, request,
		expires_at - created_at AS ttl, date_trunc('minute', lease_expires_at - created_at) AS lease, completed_at >= created_at AS completed,
		recovery_point, recovery_data, response_status, response_headers, response_body, response_bytes
	FROM idempotency_keys ORDER BY key COLLATE "C";
CREATE VIEW stored_events AS
	SELECT event_id, state, token > 0 AS has_token, attempt, stream, sequence, event_type, ttl, payload, headers, last_error,
		due_at = received_at AS due_at_once, due_at - received_at > '30 min' AS due_later, finished_at >= received_at AS finished, due_at = finished_at AS has_turn,
		expires_at - finished_at AS kept
	FROM webhook_inbox ORDER BY event_id COLLATE "C";

-- Keys, as the functions store them.
SELECT outcome FROM idempotency_claim('acme', '1 in progress', '{"n": 1}', lease => '1 h', ttl => '2 h', keep_request => true);
SELECT idempotency_release('acme', '2 released', token) FROM idempotency_claim('acme', '2 released', '{"n": 1}');
SELECT outcome FROM idempotency_claim('acme', '3 checkpoint', '{"n": 1}', lease => '1 h', ttl => '2 h');
SELECT idempotency_checkpoint('acme', '3 checkpoint', token, 'charged', '{"id": 7}') IS NOT NULL AS checkpoint FROM idempotency_keys WHERE key = '3 checkpoint';
SELECT idempotency_complete('acme', '4 text', token, 201, 'done', '{"X": "1"}') FROM idempotency_claim('acme', '4 text', '{"n": 1}');
SELECT idempotency_complete('acme', '5 jsonb', token, 200, '{"n": 1}'::jsonb) FROM idempotency_claim('acme', '5 jsonb');
SELECT idempotency_complete('acme', '6 bytes', token, 200, '\x00ff'::bytea) FROM idempotency_claim('acme', '6 bytes', '{"n": 1}');
SELECT outcome FROM idempotency_claim('acme', '7 tombstone', '{"n": 1}', ttl => '0');
SET idempotency.tombstone_ttl = '1 day';
SELECT * FROM idempotency_sweep();
SELECT * FROM stored_keys;
SELECT expires_at - completed_at AS ttl, completed_at = created_at AS expired_at_once FROM idempotency_keys WHERE key = '7 tombstone';
SELECT DISTINCT request_hash = idempotency_request_hash('{"n": 1}') AS hash_is_the_functions FROM idempotency_keys WHERE request_hash IS NOT NULL;

-- Keys of another hand, as the functions read them.
TRUNCATE idempotency_keys;
INSERT INTO idempotency_keys (created_at, expires_at, lease_expires_at, completed_at, token, attempt, response_status, tenant_id, scope, key,
	request_hash, request, recovery_point, recovery_data, response_headers, response_body, response_bytes)
SELECT now() - interval '1 h', now() + expires_in, now() + lease, now() + completed, 1763740000000000, 1, status, 'acme', '', key,
	idempotency_request_hash('{"n": 1}'), request, point, data, headers, body, bytes
FROM (VALUES
	('1 in progress', interval '1 h', interval '1 min', NULL::interval, NULL::int, NULL::jsonb, NULL, NULL::jsonb, NULL::jsonb, NULL, NULL::bytea),
	('2 lapsed', '1 h', '-1 min', NULL, NULL, NULL, 'charged', '{"id": 7}', NULL, NULL, NULL),
	('3 released', '1 h', NULL, NULL, NULL, NULL, 'charged', '{"id": 7}', NULL, NULL, NULL),
	('4 text', '1 h', NULL, '-1 min', 201, NULL, NULL, NULL, '{"X": "1"}', 'done', NULL),
	('5 bytes', '1 h', NULL, '-1 min', 200, NULL, NULL, NULL, NULL, NULL, '\x00ff'),
	('6 expired', '-1 s', NULL, '-1 min', 200, NULL, NULL, NULL, NULL, 'done', NULL),
	('7 tombstone', '1 h', NULL, '-1 min', NULL, NULL, NULL, NULL, NULL, NULL, NULL),
	('8 abandoned', '1 h', '-1 min', NULL, NULL, '{"n": 1}', 'charged', '{"id": 7}', NULL, NULL, NULL)
) AS stored (key, expires_in, lease, completed, status, request, point, data, headers, body, bytes);
SELECT key, token, attempt, request, recovery_point, recovery_data FROM idempotency_claim_abandoned() AS a (tenant, scope, key, new_token, attempt, request, recovery_point, recovery_data),
	LATERAL (SELECT new_token > 1763740000000000 AS token) AS t;
SELECT k.key, state, l.attempt, l.response_status, l.response_body, l.response_bytes FROM idempotency_keys AS k, idempotency_lookup('acme', k.key) AS l ORDER BY k.key COLLATE "C";
SELECT k.key, c.outcome, c.token > k.token AS greater_token, c.attempt, c.recovery_point, c.recovery_data, c.response_status, c.response_headers, c.response_body, c.response_bytes
FROM idempotency_keys AS k, idempotency_claim('acme', k.key, '{"n": 1}') AS c WHERE k.key <> '8 abandoned' ORDER BY k.key COLLATE "C";
SELECT idempotency_complete('acme', '1 in progress', 1763740000000000, 200, 'done');

-- Events, as the functions store them.
SELECT outcome FROM webhook_inbox_record('acme', 'shop', '1 pending', '{"n": 1}', 'paid', '{"X": "1"}', ttl => '1 h');
SELECT outcome FROM webhook_inbox_record('acme', 'shop', '2 first', stream => 's', sequence => 1);
SELECT outcome FROM webhook_inbox_record('acme', 'shop', '3 waits', stream => 's', sequence => 2);
SELECT outcome FROM webhook_inbox_record('acme', 'shop', '4 processed', processed => true);
SELECT outcome FROM webhook_inbox_record('acme', 'shop', '5 processed', stream => 's', sequence => 3, processed => true);
SELECT outcome FROM webhook_inbox_record('acme', 'bank', '6 processing');
SELECT outcome FROM webhook_inbox_record('acme', 'bank', '7 failed');
SELECT event_id FROM webhook_inbox_fetch(2, 'bank', lease => '1 h');
SELECT webhook_inbox_fail('acme', 'bank', '7 failed', token, 'no', retry_in => '1 h') FROM webhook_inbox WHERE event_id = '7 failed';
SET idempotency.webhook_max_attempts = 1;
SELECT outcome FROM webhook_inbox_record('acme', 'post', '8 dead', stream => 's');
SELECT webhook_inbox_fail(tenant_id, source, event_id, token, 'no') FROM webhook_inbox_fetch(source => 'post');
RESET idempotency.webhook_max_attempts;
SELECT * FROM stored_events;

-- Events of another hand, as the functions read them.
TRUNCATE webhook_inbox;
INSERT INTO webhook_inbox (received_at, due_at, finished_at, expires_at, token, sequence, attempt, state, tenant_id, source, event_id, stream, payload, last_error)
SELECT now() + received, now() + due, now() + finished, now() + expires, token, sequence, attempt, state, 'acme', 'shop', event_id, stream, '{"n": 1}', error
FROM (VALUES
	('1 pending', interval '-8 min', interval '-8 min', NULL::interval, NULL::interval, 0, NULL::int, 0, 'pending', NULL, NULL),
	('2 retried', '-7 min', '-1 min', NULL, NULL, 1763740000000000, NULL, 1, 'pending', NULL, 'no'),
	('3 lapsed', '-6 min', '-1 min', NULL, NULL, 1763740000000000, NULL, 1, 'processing', NULL, NULL),
	('4 in flight', '-5 min', '1 h', NULL, NULL, 1763740000000000, NULL, 1, 'processing', NULL, NULL),
	('5 turn', '-4 min', '-1 min', '-1 min', '1 h', 1763740000000000, 1, 1, 'processed', 's', NULL),
	('6 waits', '-4 min', NULL, NULL, NULL, 0, 2, 0, 'pending', 's', NULL),
	('7 dead', '-3 min', NULL, '-1 min', '1 h', 1763740000000000, NULL, 10, 'dead', NULL, 'no'),
	('8 processed', '-2 min', NULL, '-1 min', '1 h', 1763740000000000, NULL, 1, 'processed', NULL, NULL),
	('9 expired', '-2 min', NULL, '-1 min', '-1 s', 1763740000000000, NULL, 1, 'processed', NULL, NULL)
) AS stored (event_id, received, due, finished, expires, token, sequence, attempt, state, stream, error);
SELECT event_id, token > 1763740000000000 AS greater_token, attempt, stream, sequence, late FROM webhook_inbox_fetch(10);
SELECT webhook_inbox_complete('acme', 'shop', '4 in flight', 1763740000000000);
SELECT event_id, outcome, state, payload_changed FROM webhook_inbox_record_batch('acme', 'shop',
	(SELECT jsonb_agg(jsonb_build_object('event_id', event_id, 'payload', '{"n": 1}'::jsonb, 'processed', true) ORDER BY event_id COLLATE "C") FROM webhook_inbox));
SELECT webhook_inbox_requeue_dead();

\x
DROP VIEW stored_keys, stored_events;
RESET idempotency.tombstone_ttl;
TRUNCATE webhook_inbox, idempotency_keys;
