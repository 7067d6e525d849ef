-- The largest of everything.
-- Names of 255 bytes and a key of 255 four-byte characters.
SELECT outcome, token AS t
FROM idempotency_claim(repeat('é', 127), repeat('𝕜', 255), scope => repeat('s', 255)) \gset
SELECT idempotency_complete(repeat('é', 127), repeat('𝕜', 255), :t, 200, 'x', scope => repeat('s', 255));
SELECT outcome FROM idempotency_claim(repeat('é', 127), repeat('𝕜', 255), scope => repeat('s', 255));

-- A body of 50 MB, text and bytes.
SELECT token AS t1 FROM idempotency_claim('acme', 'text') \gset
SELECT token AS t2 FROM idempotency_claim('acme', 'bytes') \gset
SELECT idempotency_complete('acme', 'text', :t1, 200, repeat('é0123456789abcdef', 50 * 1024 * 1024 / 18));
SELECT idempotency_complete('acme', 'bytes', :t2, 200, decode(repeat('00ff7f80', 50 * 1024 * 1024 / 4), 'hex'));
SELECT outcome, length(response_body),
	md5(response_body) = md5(repeat('é0123456789abcdef', 50 * 1024 * 1024 / 18)) AS same
FROM idempotency_claim('acme', 'text');
SELECT outcome, length(response_bytes),
	response_bytes = decode(repeat('00ff7f80', 50 * 1024 * 1024 / 4), 'hex') AS same
FROM idempotency_claim('acme', 'bytes');

-- A large request, kept.
SELECT outcome FROM idempotency_claim('acme', 'request',
	(SELECT jsonb_agg(md5(i::text)) FROM generate_series(1, 100000) AS i), keep_request => true, lease => '0');
SELECT outcome FROM idempotency_claim('acme', 'request', '[]');
SELECT key, jsonb_array_length(request) FROM idempotency_claim_abandoned();

-- Text is text, whatever it looks like.
SELECT outcome, token AS t3 FROM idempotency_claim('Ünïcödé', '🎟', '{"näme": "Ω"}', scope => '日本') \gset
SELECT idempotency_complete('Ünïcödé', '🎟', :t3, 200, E'tabs\tand\nlines\r\n', '{"x-näme": "Ω"}', '日本');
SELECT outcome, response_body = E'tabs\tand\nlines\r\n' AS same, response_headers
FROM idempotency_claim('Ünïcödé', '🎟', '{"näme": "Ω"}', scope => '日本');
SELECT outcome FROM idempotency_claim($$Robert'); DROP TABLE x;--$$, $$%s%n"\$$);

-- Longest durations that timestamptz can hold.
SELECT outcome FROM idempotency_claim('acme', 'long', lease => '1000 years', ttl => '1000 years');
SELECT idempotency_heartbeat('acme', 'long', token, lease => '2000 years') > '3000-01-01'
FROM idempotency_keys WHERE key = 'long';

-- Nulls where they are allowed.
SELECT outcome FROM idempotency_claim('acme', 'nulls', NULL, '', NULL, NULL, NULL, NULL);
SELECT idempotency_complete('acme', 'nulls', token, 200, NULL::text, NULL, '', NULL)
FROM idempotency_keys WHERE key = 'nulls';
SELECT outcome, response_status, response_headers, response_body, response_bytes
FROM idempotency_claim('acme', 'nulls');

-- The inbox: names of 255 bytes, the ends of bigint, nothing but nulls, a large payload.
SELECT outcome FROM webhook_inbox_record(repeat('t', 255), repeat('é', 127), repeat('𝕜', 63), stream => repeat('s', 255), sequence => 9223372036854775807);
SELECT outcome FROM webhook_inbox_record(repeat('t', 255), repeat('é', 127), 'first', stream => repeat('s', 255), sequence => -9223372036854775808);
SELECT event_id, sequence, token AS t FROM webhook_inbox_fetch() \gset
SELECT :'event_id', :sequence, webhook_inbox_complete(repeat('t', 255), repeat('é', 127), 'first', :t);
SELECT length(event_id), sequence FROM webhook_inbox_fetch(2147483647);
SELECT outcome FROM webhook_inbox_record('acme', 's', 'nulls', NULL, NULL, NULL, NULL, NULL, NULL, NULL);
SELECT event_id, attempt, token AS t FROM webhook_inbox_fetch(1, NULL, NULL, NULL) \gset
SELECT webhook_inbox_fail('acme', 's', :'event_id', :t, NULL, NULL);
SELECT webhook_inbox_requeue_dead(NULL, NULL, NULL);
SELECT outcome FROM webhook_inbox_record('acme', 's', 'large', (SELECT jsonb_agg(md5(i::text)) FROM generate_series(1, 100000) AS i));
SELECT outcome, payload_changed FROM webhook_inbox_record('acme', 's', 'large', (SELECT jsonb_agg(md5(i::text)) FROM generate_series(1, 100000) AS i));
SELECT jsonb_array_length(payload) FROM webhook_inbox_fetch(1, 's', 'acme', '1000 years');
SELECT outcome FROM webhook_inbox_record('acme', 's', 'long', ttl => '1000 years', processed => true);
SELECT outcome FROM webhook_inbox_record($$Robert'); DROP TABLE x;--$$, $$%s%n"\$$, $$%1$s$$, stream => $$%1$s$$);
SELECT source, event_id, stream FROM webhook_inbox_fetch(5);

TRUNCATE idempotency_keys, webhook_inbox;
