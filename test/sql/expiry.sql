-- Expired keys are no keys, whether or not anybody has swept them away.
SELECT token AS first FROM idempotency_claim('acme', 'k', '{"a": 1}', keep_request => true) \gset
SELECT idempotency_checkpoint('acme', 'k', :first, 'half-way', '{"b": 2}') IS NOT NULL;
SELECT idempotency_complete('acme', 'k', :first, 200, 'done', '{"ETag": "1"}');

SET idempotency.clock_offset = '23h 59min';
SELECT outcome FROM idempotency_claim('acme', 'k', '{"a": 1}');
SET idempotency.clock_offset = '24h';
SELECT count(*) FROM idempotency_lookup('acme', 'k');
\set VERBOSITY sqlstate
SELECT idempotency_complete('acme', 'k', :first, 200, 'done', '{"ETag": "1"}');
\set VERBOSITY default
-- Another request may have the key now; nothing of the old one is left.
SELECT outcome, attempt, recovery_point, token > :first AS greater
FROM idempotency_claim('acme', 'k', '{"a": 2}');
SELECT state, attempt, recovery_point, recovery_data, response_status,
	response_headers, response_body, completed_at,
	request_hash = idempotency_request_hash('{"a": 2}') AS new_hash
FROM idempotency_lookup('acme', 'k');
SELECT count(*), count(request) FROM idempotency_keys;

-- A key that was never completed expires just the same.
SET idempotency.clock_offset = '48h 1min';
SELECT outcome, attempt FROM idempotency_claim('acme', 'k', '{"a": 3}');
RESET idempotency.clock_offset;

-- Ages by ttl; zero is over at once.
SELECT outcome FROM idempotency_claim('acme', 'short', ttl => '1h');
SET idempotency.clock_offset = '1h';
SELECT outcome FROM idempotency_claim('acme', 'short');
RESET idempotency.clock_offset;
SELECT outcome FROM idempotency_claim('acme', 'none', ttl => '0');
SELECT outcome, attempt FROM idempotency_claim('acme', 'none');

-- A takeover starts the time to live anew.
SELECT outcome FROM idempotency_claim('acme', 'resumed', lease => '0');
SET idempotency.clock_offset = '23h';
SELECT outcome, token AS resumed FROM idempotency_claim('acme', 'resumed') \gset
SELECT idempotency_complete('acme', 'resumed', :resumed, 200, 'late, but done');
SET idempotency.clock_offset = '46h';
SELECT outcome, response_body FROM idempotency_claim('acme', 'resumed');
RESET idempotency.clock_offset;

-- Tombstones: too late to be answered, too early to be trusted.
SET idempotency.tombstone_ttl = '7 days';
SELECT token AS t FROM idempotency_claim('acme', 'grave', '{"a": 1}') \gset
SELECT idempotency_complete('acme', 'grave', :t, 200, 'done');
SET idempotency.clock_offset = '25h';
SELECT outcome, token, response_status, response_body, retry_after
FROM idempotency_claim('acme', 'grave', '{"a": 1}');
SELECT outcome FROM idempotency_claim('acme', 'grave', '{"a": 2}');
SELECT count(*) FROM idempotency_lookup('acme', 'grave');
SET idempotency.clock_offset = '8 days';
SELECT outcome FROM idempotency_claim('acme', 'grave', '{"a": 2}');
-- ... an unfinished one as well
SET idempotency.clock_offset = '9 days 1h';
SELECT outcome FROM idempotency_claim('acme', 'grave', '{"a": 2}');
RESET idempotency.clock_offset;
RESET idempotency.tombstone_ttl;

TRUNCATE idempotency_keys;
