-- What has expired goes, what counts stays.
SELECT count(*) FROM generate_series(1, 5) AS i, idempotency_claim('acme', 'old ' || i, ttl => (i || ' hours')::interval);
SELECT count(*) FROM generate_series(1, 5) AS i, idempotency_claim('globex', 'done ' || i, ttl => (i || ' hours')::interval) AS c,
	LATERAL (SELECT idempotency_complete('globex', 'done ' || i, c.token)) AS completed;
SELECT outcome FROM idempotency_claim('acme', 'alive');
SELECT outcome FROM idempotency_claim('acme', 'lapsed', lease => '0');
SELECT * FROM idempotency_sweep();
SET idempotency.clock_offset = '5 hours';
-- ... a batch at a time, what expired first in front
SELECT * FROM idempotency_sweep(3);
SELECT tenant_id, key FROM idempotency_keys ORDER BY expires_at LIMIT 2;
SELECT * FROM idempotency_sweep(6);
SELECT * FROM idempotency_sweep(6);
SELECT key FROM idempotency_keys ORDER BY key;
SELECT outcome, attempt FROM idempotency_claim('acme', 'old 1');
RESET idempotency.clock_offset;
TRUNCATE idempotency_keys;

-- Any number in one call: beyond its share of the lock table, too, and where
-- all expired at once.
BEGIN;
SELECT count(*) FROM generate_series(1, 3000) AS i, idempotency_claim('acme', 'k' || i, ttl => '0');
UPDATE idempotency_keys SET expires_at = now();
COMMIT;
BEGIN;
SELECT * FROM idempotency_sweep(1000);
SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid();
ROLLBACK;
SELECT * FROM idempotency_sweep(2147483647);
SELECT count(*) FROM idempotency_keys;

-- Tombstones: emptied at expiry, deleted when their time is over.
SET idempotency.tombstone_ttl = '7 days';
SELECT token AS t FROM idempotency_claim('acme', 'grave', '{"card": 1}', keep_request => true) \gset
SELECT idempotency_checkpoint('acme', 'grave', :t, 'charged', '{"secret": 2}') IS NOT NULL;
SELECT idempotency_complete('acme', 'grave', :t, 200, 'secret', '{"X-Secret": "3"}');
SELECT idempotency_complete('acme', 'bytes', token, 200, '\x00'::bytea) FROM idempotency_claim('acme', 'bytes');
SELECT outcome FROM idempotency_claim('acme', 'unfinished', '{"card": 1}', keep_request => true);
SET idempotency.clock_offset = '25h';
SELECT * FROM idempotency_sweep();
SELECT * FROM idempotency_sweep();
SELECT num_nulls(request_hash, request, recovery_point, recovery_data, response_status, response_headers, response_body, response_bytes, lease_expires_at) AS emptied,
	key, attempt, expires_at - created_at AS kept FROM idempotency_keys ORDER BY key;
-- ... answered as before the sweep
SELECT outcome, response_status, response_body FROM idempotency_claim('acme', 'grave', '{"card": 1}');
SELECT outcome FROM idempotency_claim('acme', 'unfinished', '{"card": 2}');
SELECT count(*) FROM idempotency_lookup('acme', 'grave');
SELECT count(*) FROM idempotency_claim_abandoned();
\set VERBOSITY sqlstate
SELECT idempotency_complete('acme', 'grave', :t, 200, 'secret', '{"X-Secret": "3"}');
SELECT idempotency_heartbeat('acme', 'grave', :t);
SELECT idempotency_release('acme', 'grave', :t);
\set VERBOSITY default
-- ... by the clock alone, also one that is set back, and by the setting as it is
SET idempotency.clock_offset = '1h';
SELECT outcome FROM idempotency_claim('acme', 'grave');
SELECT count(*) FROM idempotency_lookup('acme', 'grave');
SET idempotency.clock_offset = '7 days';
SET idempotency.tombstone_ttl = '5 days';
SELECT outcome FROM idempotency_claim('acme', 'bytes');
SET idempotency.tombstone_ttl = '30 days';
SET idempotency.clock_offset = '9 days';
SELECT outcome FROM idempotency_claim('acme', 'grave');
SELECT * FROM idempotency_sweep();
SELECT key, expires_at - created_at AS kept FROM idempotency_keys ORDER BY key;
SET idempotency.clock_offset = '31 days 1h';
SELECT outcome, attempt, token > :t AS greater FROM idempotency_claim('acme', 'grave');
SELECT * FROM idempotency_sweep();
SELECT key FROM idempotency_keys;
RESET idempotency.tombstone_ttl;
SET idempotency.clock_offset = '40 days';
SELECT * FROM idempotency_sweep();
RESET idempotency.clock_offset;

-- Events, once they are processed or dead, and by their own time to live.
SET idempotency.webhook_max_attempts = 1;
SELECT count(*) FROM generate_series(1, 4) AS i, webhook_inbox_record('acme', 's', 'e' || i, '{"n": 1}', ttl => CASE WHEN i = 4 THEN interval '1 year' END);
SELECT webhook_inbox_complete('acme', 's', event_id, token) FROM webhook_inbox_fetch(1);
SELECT webhook_inbox_fail('acme', 's', event_id, token, 'x') FROM webhook_inbox_fetch(1);
SELECT outcome FROM webhook_inbox_record('acme', 'consumer', 'e', processed => true, ttl => '1h');
SELECT * FROM idempotency_sweep();
SET idempotency.clock_offset = '8 days';
SELECT webhook_inbox_complete('acme', 's', event_id, token) FROM webhook_inbox_fetch(5) WHERE event_id = 'e4';
SELECT * FROM idempotency_sweep(1);
SELECT * FROM idempotency_sweep();
SELECT event_id, state FROM webhook_inbox ORDER BY event_id;
-- ... but not while a turn in a stream has to be passed on
TRUNCATE webhook_inbox;
RESET idempotency.clock_offset;
SELECT count(*) FROM generate_series(1, 2) AS i, webhook_inbox_record('acme', 's', 'e' || i, stream => 'x', ttl => '1h');
SELECT webhook_inbox_complete('acme', 's', event_id, token) FROM webhook_inbox_fetch(1);
SET idempotency.clock_offset = '2h';
SELECT * FROM idempotency_sweep();
SELECT event_id FROM webhook_inbox_fetch(5);
SELECT * FROM idempotency_sweep();
SELECT event_id, state FROM webhook_inbox;
RESET idempotency.clock_offset;
RESET idempotency.webhook_max_attempts;

-- Arguments and settings.
\set VERBOSITY sqlstate
SELECT idempotency_sweep(0);
SELECT idempotency_sweep(-1);
SELECT idempotency_sweep(NULL);
SET idempotency.tombstone_ttl = '290000 years';
SELECT idempotency_sweep();
SET idempotency.tombstone_ttl = '10000 years';
SELECT idempotency_sweep();
RESET idempotency.tombstone_ttl;
BEGIN READ ONLY;
SELECT idempotency_sweep();
COMMIT;
\set VERBOSITY default
TRUNCATE idempotency_keys, webhook_inbox;
