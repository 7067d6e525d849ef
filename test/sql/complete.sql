-- What is stored for which status, and for how long.
CREATE FUNCTION completed(key text, status int, ttl interval DEFAULT NULL,
	claim_ttl interval DEFAULT NULL)
RETURNS TABLE (result text, state text, stored int, kept interval)
LANGUAGE plpgsql AS $$
DECLARE
	claimed timestamptz;
BEGIN
	SELECT idempotency_complete('acme', key, c.token, status, 'body',
		ttl => completed.ttl), c.created_at
	INTO result, claimed
	FROM idempotency_claim('acme', key, ttl => claim_ttl) AS c;
	RETURN QUERY
	SELECT result, l.state, l.response_status,
		date_trunc('second', l.expires_at - claimed + interval '0.1 s')
	FROM idempotency_lookup('acme', key) AS l;
END $$;

SELECT status, result, state, stored, kept
FROM unnest(ARRAY[100, 200, 204, 302, 399, 400, 404, 408, 409, 422, 425, 429,
	451, 499, 500, 503, 599]) AS status,
LATERAL completed('status-' || status, status);

-- An override of the time: at the claim, at the completion, at both.
SELECT result, kept FROM completed('ttl-1', 200, claim_ttl => '2h');
SELECT result, kept FROM completed('ttl-2', 200, ttl => '3h');
SELECT result, kept FROM completed('ttl-3', 200, ttl => '3h', claim_ttl => '2h');
SELECT result, kept FROM completed('ttl-4', 404, claim_ttl => '2h');
SELECT result, kept FROM completed('ttl-5', 404, ttl => '3h');
SELECT result, kept FROM completed('ttl-6', 503, ttl => '3h');

-- The settings.
SET idempotency.success_ttl = '2 days';
SET idempotency.client_error_ttl = '90s';
SELECT result, kept FROM completed('set-1', 200);
SELECT result, kept FROM completed('set-2', 404);
RESET idempotency.success_ttl;
RESET idempotency.client_error_ttl;
SET idempotency.retryable_statuses = '2xx, 404';
SELECT result, state FROM completed('set-3', 200);
SELECT result, state FROM completed('set-4', 404);
SELECT result, state, kept FROM completed('set-5', 503);
SET idempotency.retryable_statuses = '';
SELECT result, state FROM completed('set-6', 500);
RESET idempotency.retryable_statuses;

-- Three types of body.  An untyped literal is text and stays as it is.
SELECT token AS t1 FROM idempotency_claim('acme', 'body-text') \gset
SELECT token AS t2 FROM idempotency_claim('acme', 'body-jsonb') \gset
SELECT token AS t3 FROM idempotency_claim('acme', 'body-bytea') \gset
SELECT token AS t4 FROM idempotency_claim('acme', 'body-none') \gset
SELECT idempotency_complete('acme', 'body-text', :t1, 200, '{"b":1,  "a":2}');
SELECT idempotency_complete('acme', 'body-jsonb', :t2, 200, '{"b":1,  "a":2}'::jsonb);
SELECT idempotency_complete('acme', 'body-bytea', :t3, 200, '\x00ff00'::bytea);
SELECT idempotency_complete('acme', 'body-none', :t4);
SELECT key, response_status, response_body, response_bytes
FROM unnest(ARRAY['body-text', 'body-jsonb', 'body-bytea', 'body-none']) AS key,
LATERAL idempotency_claim('acme', key);
PREPARE complete AS SELECT idempotency_complete('acme', $1, $2, 200, $3);
SELECT token AS t5 FROM idempotency_claim('acme', 'body-parameter') \gset
EXECUTE complete('body-parameter', :t5, '{"b":1,  "a":2}');
SELECT response_body FROM idempotency_lookup('acme', 'body-parameter');

-- Completing again: the same response is a no-op, another an error.
SELECT idempotency_complete('acme', 'body-text', :t1, 200, '{"b":1,  "a":2}');
SELECT idempotency_complete('acme', 'body-jsonb', :t2, 200, '{"a":2,"b":1}'::jsonb);
SELECT idempotency_complete('acme', 'body-bytea', :t3, 200, '\x00ff00'::bytea);
SELECT idempotency_complete('acme', 'body-none', :t4);
\set VERBOSITY sqlstate
SELECT idempotency_complete('acme', 'body-text', :t1, 200, '{"b":1, "a":2}');
SELECT idempotency_complete('acme', 'body-text', :t1, 201, '{"b":1,  "a":2}');
SELECT idempotency_complete('acme', 'body-text', :t1, 200, '{"b":1,  "a":2}', '{"x": "y"}');
SELECT idempotency_complete('acme', 'body-text', :t1, 503);
SELECT idempotency_complete('acme', 'body-bytea', :t3, 200, '\x00ff'::bytea);
SELECT idempotency_complete('acme', 'body-none', :t4, 200, '');
\set VERBOSITY default
-- ... and a response that was not stored may be reported again, too
SELECT token AS t6 FROM idempotency_claim('acme', 'again') \gset
SELECT idempotency_complete('acme', 'again', :t6, 503, 'try again');
SELECT idempotency_complete('acme', 'again', :t6, 503, 'try again');

-- Headers that must not be stored are not, in whatever case.
SELECT token AS t7 FROM idempotency_claim('acme', 'headers') \gset
SELECT idempotency_complete('acme', 'headers', :t7, 200, NULL::text, '{
	"Set-Cookie": ["a=1", "b=2"], "AUTHORIZATION": {"set-cookie": "x"},
	"X-Nested": {"authorization": "a member, not a header"}, "ETag": "1"}');
SELECT response_headers FROM idempotency_lookup('acme', 'headers');
SELECT token AS t8 FROM idempotency_claim('acme', 'headers-array') \gset
SELECT idempotency_complete('acme', 'headers-array', :t8, 200, NULL::text,
	'[{"Set-Cookie": "a=1"}, {"set-cookie": "b=2", "Vary": "*"}]');
SELECT response_headers FROM idempotency_lookup('acme', 'headers-array');
SET idempotency.redact_headers = ' vary ,x-internal';
SELECT token AS t9 FROM idempotency_claim('acme', 'headers-set') \gset
SELECT idempotency_complete('acme', 'headers-set', :t9, 200, NULL::text,
	'{"Set-Cookie": "a=1", "Vary": "*", "X-Internal-Not": "kept"}');
SELECT response_headers FROM idempotency_lookup('acme', 'headers-set');
RESET idempotency.redact_headers;

-- In the common case, completing is a HOT update.
SELECT pg_stat_force_next_flush();
SELECT n_tup_upd AS updates, n_tup_hot_upd AS hot
FROM pg_stat_user_tables WHERE relname = 'idempotency_keys' \gset
SELECT count(*) FROM generate_series(1, 1000) AS i,
LATERAL idempotency_claim('hot', i::text, '{"a": 1}') AS c,
LATERAL idempotency_complete('hot', i::text, c.token, 200, '{"id": 1}');
SELECT pg_stat_force_next_flush();
SELECT n_tup_upd - :updates AS updates, n_tup_hot_upd - :hot AS hot
FROM pg_stat_user_tables WHERE relname = 'idempotency_keys';

-- Each statement finds its row by the primary key, also when it was planned on
-- a table that was empty when it was analyzed.
TRUNCATE idempotency_keys;
ANALYZE idempotency_keys;
SELECT count(*) FROM generate_series(1, 100) AS i,
LATERAL idempotency_claim('plan', i::text, '{"a": 1}', keep_request => true, lease => '0') AS c,
LATERAL idempotency_heartbeat('plan', i::text, c.token, lease => '0') AS h,
LATERAL idempotency_checkpoint('plan', i::text, c.token, 'p', lease => '0') AS p;
SELECT count(idempotency_complete(tenant_id, key, token)) FROM idempotency_claim_abandoned(50);
SELECT count(idempotency_release('plan', key, token)) FROM idempotency_keys WHERE completed_at IS NULL;
SELECT pg_stat_force_next_flush();
SELECT indexrelname, idx_scan > 0 AS used FROM pg_stat_user_indexes
WHERE relname = 'idempotency_keys' ORDER BY 1;
SELECT idx_tup_read < 1000 AS few_read FROM pg_stat_user_indexes
WHERE indexrelname = 'idempotency_keys_kept_request_idx';

DROP FUNCTION completed;
TRUNCATE idempotency_keys;
