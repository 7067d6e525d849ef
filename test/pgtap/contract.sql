-- The contract in sentences.  Runs in one transaction, which it rolls back,
-- as a superuser on any server that has the extension and pgTAP:
--     pg_prove -d mydb test/pgtap/contract.sql
-- several assertions of one row, a line each
\pset fieldsep '\n'
BEGIN;
SELECT plan(96);

CREATE TEMP TABLE tokens (key text, token bigint);
CREATE TEMP TABLE effects (what text);
CREATE FUNCTION pg_temp.claim(key text, request jsonb DEFAULT NULL, tenant text DEFAULT 'pgtap')
RETURNS text LANGUAGE sql AS $$
	SELECT outcome FROM idempotency_claim(tenant, key, request) $$;
CREATE FUNCTION pg_temp.token(key text) RETURNS bigint LANGUAGE sql AS $$
	SELECT max(token) FROM pg_temp.tokens AS t WHERE t.key = token.key $$;

-- Claiming
SELECT is(outcome, 'claimed', 'a key that nobody used is claimed'),
	is(attempt, 1, '... at the first attempt'),
	ok(token > 0, '... with a token')
FROM idempotency_claim('pgtap', 'a', '{"n": 1}');
SELECT is(outcome, 'in_progress', 'a duplicate is told that the key is in progress'),
	is(response_status, 409, '... which is status 409'),
	cmp_ok(retry_after, '>=', 1, '... and when to come back'),
	ok(token IS NULL, '... but gets no token')
FROM idempotency_claim('pgtap', 'a', '{"n": 1}');
SELECT is(outcome, 'mismatch', 'another request under the key is a mismatch, even in progress'),
	is(response_status, 422, '... which is status 422')
FROM idempotency_claim('pgtap', 'a', '{"n": 2}');
SELECT is(pg_temp.claim('a', '{"n": 2}', 'other tenant'), 'claimed', 'a key belongs to its tenant');
SELECT is(outcome, 'claimed', 'a key belongs to its scope')
FROM idempotency_claim('pgtap', 'a', '{"n": 2}', scope => 'other');
SELECT is(pg_temp.claim('a'), 'in_progress', 'a claim without a request skips the comparison');

-- Completing
INSERT INTO tokens SELECT 'c', token FROM idempotency_claim('pgtap', 'c', '{"n": 1}');
SELECT is(idempotency_complete('pgtap', 'c', pg_temp.token('c'), 201, '{"b":1,  "a":2}', '{"ETag": "1", "Set-Cookie": "s"}'),
	'completed', 'a response below 400 is kept');
SELECT is(outcome, 'replay', 'a retry is answered by replay'),
	is(response_status, 201, '... with the status'),
	is(response_body, '{"b":1,  "a":2}', '... the body byte for byte'),
	is(response_headers, '{"ETag": "1"}', '... and the headers, without those that are redacted')
FROM idempotency_claim('pgtap', 'c', '{"n": 1}');
SELECT is(outcome, 'replay', 'a request is compared by value, not by spelling')
FROM idempotency_claim('pgtap', 'c', ' {"n":1.0}');
SELECT is(pg_temp.claim('c', '{"n": 2}'), 'mismatch', 'a completed key still belongs to its request');
SELECT is(idempotency_complete('pgtap', 'c', pg_temp.token('c'), 201, '{"b":1,  "a":2}', '{"ETag": "1"}'),
	'completed', 'completing again with the same response changes nothing');
SELECT throws_ok($$ SELECT idempotency_complete('pgtap', 'c', pg_temp.token('c'), 201, 'other') $$,
	'IK004', NULL, 'completing again with another response is refused');

-- Statuses
INSERT INTO tokens SELECT s::text, c.token FROM unnest(ARRAY[404, 429, 500]) AS s,
LATERAL idempotency_claim('pgtap', s::text, '{"n": 1}') AS c;
SELECT is(idempotency_complete('pgtap', '404', pg_temp.token('404'), 404, 'no'), 'completed', 'a 404 is kept');
SELECT is(date_trunc('minute', expires_at - created_at + interval '1 s'), interval '1 hour', '... for an hour')
FROM idempotency_lookup('pgtap', '404');
SELECT is(idempotency_complete('pgtap', '429', pg_temp.token('429'), 429), 'released', 'a 429 is not kept');
SELECT is(idempotency_complete('pgtap', '500', pg_temp.token('500'), 500), 'released', 'a 500 is not kept');
SELECT is(outcome, 'resumed', '... so that the next claim does the work'), is(attempt, 2, '... at the second attempt')
FROM idempotency_claim('pgtap', '500', '{"n": 1}');
SELECT is(pg_temp.claim('429', '{"n": 2}'), 'mismatch', '... for the same request only');

-- Leases and tokens
INSERT INTO tokens SELECT 'l', token FROM idempotency_claim('pgtap', 'l', '{"n": 1}');
SELECT ok(idempotency_checkpoint('pgtap', 'l', pg_temp.token('l'), 'charged', '{"charge": 7}') > now(), 'a checkpoint extends the lease');
SET LOCAL idempotency.clock_offset = '29 min';
SELECT is(pg_temp.claim('l', '{"n": 1}'), 'in_progress', 'a lease protects the claim');
SET LOCAL idempotency.clock_offset = '31 min';
SELECT is(outcome, 'resumed', 'a lapsed lease is taken over'),
	is(recovery_point, 'charged', '... from the last checkpoint'),
	is(recovery_data, '{"charge": 7}', '... and its data'),
	ok(token > pg_temp.token('l'), '... with a greater token')
FROM idempotency_claim('pgtap', 'l', '{"n": 1}');
SELECT throws_ok($$ SELECT idempotency_complete('pgtap', 'l', pg_temp.token('l')) $$, 'IK004', NULL, 'the token before it can no longer complete');
SELECT throws_ok($$ SELECT idempotency_heartbeat('pgtap', 'l', pg_temp.token('l')) $$, 'IK004', NULL, '... extend the lease');
SELECT throws_ok($$ SELECT idempotency_release('pgtap', 'l', pg_temp.token('l')) $$, 'IK004', NULL, '... or release the key');

-- Expiry
SET LOCAL idempotency.clock_offset = '25h';
SELECT is(pg_temp.claim('c', '{"n": 2}'), 'claimed', 'an expired key is free for any request');
SELECT is_empty($$ SELECT * FROM idempotency_lookup('pgtap', 'l') $$, '... and is not looked up any more');
SET LOCAL idempotency.tombstone_ttl = '2 days';
SELECT is(outcome, 'gone', 'with tombstones, an expired key is gone'), is(response_status, 410, '... which is status 410')
FROM idempotency_claim('pgtap', '404', '{"n": 1}');
SET LOCAL idempotency.tombstone_ttl = '0';
SET LOCAL idempotency.clock_offset = '0';

-- Executing
CREATE FUNCTION pg_temp.handler(request jsonb) RETURNS jsonb LANGUAGE sql AS $$
	INSERT INTO effects VALUES ('done'); SELECT jsonb_build_object('got', request) $$;
CREATE FUNCTION pg_temp.failing(request jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN INSERT INTO effects VALUES ('failed'); RAISE 'no'; END $$;
SELECT is(outcome, 'executed', 'a handler is executed'), is(response_body, '{"got": {"n": 1}}', '... and its result is the response')
FROM idempotency_execute('pgtap', 'x', '{"n": 1}', 'pg_temp.handler(jsonb)');
SELECT is(outcome, 'replay', '... once') FROM idempotency_execute('pgtap', 'x', '{"n": 1}', 'pg_temp.handler(jsonb)');
SELECT throws_ok($$ SELECT idempotency_execute('pgtap', 'y', '{"n": 1}', 'pg_temp.failing(jsonb)') $$, 'P0001', 'no', 'a handler that raises');
SELECT is(pg_temp.claim('y', '{"n": 1}'), 'claimed', '... leaves the key free');
SELECT results_eq($$ SELECT what FROM effects $$, ARRAY['done'], '... and no effect behind');

-- The webhook inbox
CREATE FUNCTION pg_temp.record(id text, seq bigint DEFAULT NULL, about text DEFAULT NULL) RETURNS text LANGUAGE sql AS $$
	SELECT outcome FROM webhook_inbox_record('pgtap', 'wh', id, '{"n": 1}', stream => about, sequence => seq) $$;
CREATE FUNCTION pg_temp.fetch_ids(n int) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(event_id || CASE WHEN late THEN ' late' ELSE '' END, ', ') FROM webhook_inbox_fetch(n, 'wh', 'pgtap') $$;
CREATE FUNCTION pg_temp.event_token(id text) RETURNS bigint LANGUAGE sql AS $$
	SELECT token FROM webhook_inbox WHERE tenant_id = 'pgtap' AND event_id = id $$;
CREATE FUNCTION pg_temp.finish_event(id text) RETURNS void LANGUAGE sql AS $$
	SELECT webhook_inbox_complete('pgtap', 'wh', id, pg_temp.event_token(id)) $$;
SELECT is(outcome, 'recorded', 'an event is recorded'), is(state, 'pending', '... and waits for a worker'), is(payload_changed, false, '... as new')
FROM webhook_inbox_record('pgtap', 'wh', 'e1', '{"n": 1}');
SELECT is(outcome, 'duplicate', 'a redelivery is a duplicate'), is(payload_changed, true, '... that may differ')
FROM webhook_inbox_record('pgtap', 'wh', 'e1', '{"n": 2}');
SELECT is(attempt, 1, 'a worker is handed the event'), is(payload, '{"n": 1}', '... as first recorded'), ok(token > 0, '... with a token')
FROM webhook_inbox_fetch(1, 'wh', 'pgtap');
SELECT is(pg_temp.fetch_ids(1), NULL, '... and nobody else is');
SELECT throws_ok($$ SELECT webhook_inbox_complete('pgtap', 'wh', 'e1', 1) $$, 'IK004', NULL, 'only the token completes it');
SELECT lives_ok($$ SELECT pg_temp.finish_event('e1') $$, 'the worker completes it');
SELECT is(state, 'processed', 'then it is processed') FROM webhook_inbox_record('pgtap', 'wh', 'e1');
SELECT is(pg_temp.record('s2', 2, 'x') || pg_temp.record('s3', 3, 'x') || pg_temp.record('o'), 'recordedrecordedrecorded', 'events of a stream');
SELECT is(pg_temp.fetch_ids(9), 's2, o', '... are handed out one at a time');
SELECT is(pg_temp.record('s1', 1, 'x'), 'recorded', 'one that comes too late');
SELECT pg_temp.finish_event('s2');
SELECT is(pg_temp.fetch_ids(9), 's1 late', '... is handed out next, and told to be late');
SET LOCAL idempotency.webhook_max_attempts = 1;
SELECT is(webhook_inbox_fail('pgtap', 'wh', 's1', pg_temp.event_token('s1'), 'oops'), 'dead', 'after the last attempt an event is dead');
SELECT is(pg_temp.fetch_ids(9), 's3', '... and its stream goes on');
SELECT is(webhook_inbox_requeue('pgtap', 'wh', 's1'), true, '... until it is requeued');
SET LOCAL idempotency.webhook_max_attempts = 10;
SELECT is(webhook_inbox_fail('pgtap', 'wh', 's3', pg_temp.event_token('s3'), 'oops'), 'pending', 'before that it is tried again');
SELECT is(pg_temp.fetch_ids(9), 's1 late', '... in order');
SELECT results_eq($$ SELECT event_id, outcome FROM webhook_inbox_record_batch('pgtap', 'wh', '[{"event_id": "b"}, {"event_id": "e1"}, {"event_id": "b"}]') $$,
	$$ VALUES ('b', 'recorded'), ('e1', 'duplicate'), ('b', 'duplicate') $$, 'a batch tells new from duplicate');
SELECT is(outcome, 'recorded', 'a message is recorded as processed') FROM webhook_inbox_record('pgtap', 'queue', 'm', processed => true);
SELECT is(outcome, 'duplicate', '... once') FROM webhook_inbox_record('pgtap', 'queue', 'm', processed => true);
SELECT throws_ok($$ SELECT webhook_inbox_record('pgtap', 'wh', '') $$, 'IK003', NULL, 'an event has an id');
SELECT throws_ok($$ SELECT webhook_inbox_complete('pgtap', 'wh', 'none', 1) $$, 'IK005', NULL, 'an event must exist to be completed');
SELECT throws_ok($$ SELECT webhook_inbox_record_batch('pgtap', 'wh', '[{"event_id": "c"}, {}]') $$, 'IK003', 'events[1].event_id is missing', 'a bad element is named');

-- Bad input
SELECT throws_ok($$ SELECT idempotency_claim('pgtap', '') $$, 'IK001', NULL, 'a key must not be empty');
SELECT throws_ok($$ SELECT idempotency_claim('pgtap', E'a\nb') $$, 'IK002', NULL, 'a key has no control characters');
SELECT throws_ok($$ SELECT idempotency_claim('', 'k') $$, 'IK003', NULL, 'a tenant must not be empty');
SELECT throws_ok($$ SELECT idempotency_heartbeat('pgtap', 'nobody''s', 1) $$, 'IK005', NULL, 'a key must exist to be held');
SELECT throws_ok($$ SELECT idempotency_complete('pgtap', 'a', 1, 99) $$, '22023', NULL, 'a status is from 100 to 599');

-- Running it
SET LOCAL idempotency.tombstone_ttl = '1 day';
SET LOCAL idempotency.tenant = 'pgtap';
SELECT is(outcome, 'claimed', 'a key that lives for no time') FROM idempotency_claim('pgtap', 'short', ttl => '0');
SELECT is(pg_temp.claim('short'), 'gone', '... is remembered where tombstones are on');
SELECT cmp_ok(keys, '>=', 1::bigint, '... the sweep empties it') FROM idempotency_sweep();
SELECT is(pg_temp.claim('short'), 'gone', '... which makes no difference');
SET LOCAL idempotency.tombstone_ttl = 0;
SELECT is(outcome, 'claimed', '... but where they are off') FROM idempotency_claim('pgtap', 'short', ttl => '0');
SELECT cmp_ok(keys, '>=', 1::bigint, '... and there the sweep deletes it') FROM idempotency_sweep();
SELECT is_empty($$ SELECT * FROM idempotency_keys WHERE tenant_id = 'pgtap' AND key = 'short' $$, '... whole');
SET LOCAL idempotency.tenant = '';
SELECT is(webhook_inbox_requeue('pgtap', 'queue', 'm'), true, 'the sweep leaves what has time to live');
CREATE ROLE pgtap_role;
SELECT idempotency_grant('pgtap_role', 'app');
SELECT is(has_function_privilege('pgtap_role', 'idempotency_lookup(text, text, text)', 'EXECUTE'), true, 'a role is granted what an app needs');
SELECT is(has_function_privilege('pgtap_role', 'idempotency_sweep(integer)', 'EXECUTE'), false, '... and no more');
SELECT idempotency_revoke('pgtap_role', 'app');
SELECT is(has_function_privilege('pgtap_role', 'idempotency_lookup(text, text, text)', 'EXECUTE'), false, '... until it is revoked');
SELECT throws_ok($$ SELECT idempotency_grant('pgtap_role', 'boss') $$, '22023', NULL, 'a profile must exist');
SELECT cmp_ok(backlog, '>=', 1::bigint, 'the activity shows what waits') FROM idempotency_activity WHERE tenant_id = 'pgtap' AND source = 'wh';
SELECT cmp_ok(idempotency_forget_tenant('pgtap'), '>=', 10::bigint, 'a tenant is forgotten');
SELECT is_empty($$ SELECT key FROM idempotency_keys WHERE tenant_id = 'pgtap' UNION ALL SELECT event_id FROM webhook_inbox WHERE tenant_id = 'pgtap' $$, '... whole');
SELECT is(pg_temp.claim('a', '{"n": 2}', 'other tenant'), 'in_progress', '... and alone');
SELECT is(pg_temp.claim('a', '{"n": 2}'), 'claimed', '... and may begin anew');

SELECT * FROM finish();
ROLLBACK;
