-- One key, one request: whatever state the key is in.
CREATE FUNCTION other() RETURNS text LANGUAGE sql AS $$
	SELECT outcome FROM idempotency_claim('acme', 'k', '{"a": 2}') $$;
SELECT outcome, token AS t FROM idempotency_claim('acme', 'k', '{"a": 1}') \gset
SELECT other() AS in_progress;
SET idempotency.clock_offset = '1h';
SELECT other() AS lapsed;
RESET idempotency.clock_offset;
SELECT idempotency_release('acme', 'k', :t);
SELECT other() AS released;
SELECT outcome, token AS t FROM idempotency_claim('acme', 'k', '{"a": 1}') \gset
SELECT idempotency_complete('acme', 'k', :t);
SELECT other() AS completed;
SELECT outcome FROM idempotency_claim('acme', 'k', '{"a": 1}');

-- The comparison is by value, not by spelling.
SELECT outcome FROM idempotency_claim('acme', 'k', ' {"a" : 1.0e0 } ');
SELECT outcome FROM idempotency_claim('acme', 'k', '{"a": "1"}');
SELECT outcome FROM idempotency_claim('acme', 'k', '{"a": 1, "b": null}');
SELECT outcome FROM idempotency_claim('acme', 'k', 'null');

-- No request, no comparison: on this side ...
SELECT outcome FROM idempotency_claim('acme', 'k');
-- ... and on that
SELECT outcome, token AS t FROM idempotency_claim('acme', 'any') \gset
SELECT idempotency_complete('acme', 'any', :t);
SELECT outcome FROM idempotency_claim('acme', 'any', '{"a": 1}');
SELECT outcome FROM idempotency_claim('acme', 'any', '{"a": 2}');
-- JSON null is a request like any other.
SELECT outcome FROM idempotency_claim('acme', 'null', 'null');
SELECT outcome FROM idempotency_claim('acme', 'null', '[]');

-- Nothing a retry brings changes the hash that is stored.
SELECT count(*) FROM idempotency_keys
WHERE key = 'k' AND request_hash = idempotency_request_hash('{"a": 1}');
SELECT request_hash FROM idempotency_keys WHERE key = 'any';

DROP FUNCTION other;
TRUNCATE idempotency_keys;
