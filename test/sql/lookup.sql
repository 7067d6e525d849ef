-- Looking at a key without claiming it.
SELECT count(*) FROM idempotency_lookup('acme', 'k');
SELECT token AS t FROM idempotency_claim('acme', 'k', '{"a": 1}', scope => 's') \gset
SELECT count(*) FROM idempotency_lookup('acme', 'k');
\x
SELECT state, attempt, recovery_point, recovery_data, response_status,
	response_headers, response_body, response_bytes,
	request_hash = idempotency_request_hash('{"a": 1}') AS hash,
	lease_expires_at - created_at AS lease, completed_at,
	expires_at - created_at AS kept
FROM idempotency_lookup('acme', 'k', 's');
SELECT idempotency_checkpoint('acme', 'k', :t, 'point', '{"d": 1}', 's') IS NOT NULL AS checkpoint;
SELECT idempotency_complete('acme', 'k', :t, 200, 'body', '{"h": "v"}', 's');
SELECT state, attempt, recovery_point, recovery_data, response_status,
	response_headers, response_body, response_bytes,
	request_hash = idempotency_request_hash('{"a": 1}') AS hash,
	lease_expires_at, completed_at >= created_at AS completed
FROM idempotency_lookup('acme', 'k', 's');
\x

-- It takes no lock, writes nothing, and may be called where nothing may be
-- written.
BEGIN READ ONLY;
SELECT state FROM idempotency_lookup('acme', 'k', 's');
SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid();
SELECT pg_current_xact_id_if_assigned() IS NULL AS no_transaction_id;
COMMIT;

-- It sees what its statement sees.
SELECT token AS t2 FROM idempotency_claim('acme', 'later') \gset
BEGIN;
DECLARE c CURSOR FOR SELECT state FROM generate_series(1, 2) AS i,
LATERAL idempotency_lookup('acme', left('later', 4 + i / i)) AS l WHERE i > 0;
FETCH c;
SELECT idempotency_complete('acme', 'later', :t2);
FETCH c;
SELECT state FROM idempotency_lookup('acme', 'later');
COMMIT;

-- A large body comes out of its storage whole.
SELECT token AS t FROM idempotency_claim('acme', 'large') \gset
SELECT idempotency_complete('acme', 'large', :t, 200, string_agg(md5(i::text), ''))
FROM generate_series(1, 10000) AS i;
SELECT length(response_body), md5(response_body) = (
	SELECT md5(string_agg(md5(i::text), '')) FROM generate_series(1, 10000) AS i) AS same
FROM idempotency_lookup('acme', 'large');

TRUNCATE idempotency_keys;
