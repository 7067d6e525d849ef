-- Claim, work and completion in one call.
CREATE TABLE effects (what jsonb);
CREATE FUNCTION as_json(request jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO effects VALUES (request);
	RETURN jsonb_build_object('done', request);
END $$;
CREATE FUNCTION as_response(request jsonb) RETURNS idempotency_response
LANGUAGE sql AS $$
	INSERT INTO effects VALUES (request);
	SELECT ((request ->> 'status')::int, '{"Location": "/7", "Set-Cookie": "s"}',
		request ->> 'body')::idempotency_response $$;
CREATE FUNCTION raising(request jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO effects VALUES (request);
	RAISE EXCEPTION 'card declined' USING ERRCODE = 'P0402';
END $$;

-- jsonb is status 200.
SELECT * FROM idempotency_execute('acme', 'j', '{"a": 1}', 'as_json(jsonb)');
SELECT * FROM idempotency_execute('acme', 'j', '{"a": 1}', 'as_json(jsonb)');
SELECT * FROM idempotency_execute('acme', 'j', '{"a": 2}', 'as_json(jsonb)');
SELECT count(*) FROM effects;

-- The composite type has all three.  The first caller gets every header, the
-- store does not.
SELECT * FROM idempotency_execute('acme', 'c', '{"status": 201, "body": "ok"}', 'as_response(jsonb)');
SELECT * FROM idempotency_execute('acme', 'c', '{"status": 201, "body": "ok"}', 'as_response(jsonb)');
SELECT outcome, response_status FROM idempotency_execute('acme', 'c', '{}', 'as_response(jsonb)', scope => 'other');
-- A retryable status is answered, not kept.
SELECT outcome, response_status FROM idempotency_execute('acme', 'r', '{"status": 503}', 'as_response(jsonb)');
SELECT outcome, response_status FROM idempotency_execute('acme', 'r', '{"status": 503}', 'as_response(jsonb)');
SELECT state, attempt FROM idempotency_lookup('acme', 'r');
-- Client errors are kept for their own time.
SELECT outcome FROM idempotency_execute('acme', 'e', '{"status": 404}', 'as_response(jsonb)');
SELECT date_trunc('minute', expires_at - created_at + interval '1 s') AS kept FROM idempotency_lookup('acme', 'e');
SELECT outcome FROM idempotency_execute('acme', 't', '{"status": 404}', 'as_response(jsonb)', ttl => '2h');
SELECT date_trunc('minute', expires_at - created_at + interval '1 s') AS kept FROM idempotency_lookup('acme', 't');
SELECT outcome FROM idempotency_execute('acme', 'u', '{"status": 200}', 'as_response(jsonb)', ttl => '2h');
SELECT expires_at - created_at AS kept FROM idempotency_lookup('acme', 'u');
TRUNCATE effects;

-- A handler that raises leaves nothing behind, and the key is free.
SELECT * FROM idempotency_execute('acme', 'x', '{"a": 1}', 'raising(jsonb)');
SELECT count(*) AS effects FROM effects;
SELECT count(*) AS rows FROM idempotency_lookup('acme', 'x');
SELECT outcome FROM idempotency_execute('acme', 'x', '{"a": 1}', 'as_json(jsonb)');

-- A key that is held: nothing is done.
SELECT outcome FROM idempotency_claim('acme', 'held', '{"a": 1}');
SELECT * FROM idempotency_execute('acme', 'held', '{"a": 1}', 'as_json(jsonb)');
SELECT outcome FROM idempotency_execute('acme', 'held', '{"a": 1}', 'as_json(jsonb)', wait => '1ms');
-- ... and a lapsed lease is executed
SET idempotency.clock_offset = '1h';
SELECT outcome FROM idempotency_execute('acme', 'held', '{"a": 1}', 'as_json(jsonb)');
RESET idempotency.clock_offset;
SELECT count(*) FROM effects;

-- Nulls: no request, no result.
CREATE FUNCTION nothing(request jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT NULL::jsonb';
CREATE FUNCTION no_response(request jsonb) RETURNS idempotency_response LANGUAGE sql AS 'SELECT NULL::idempotency_response';
CREATE FUNCTION strictly(request jsonb) RETURNS jsonb STRICT LANGUAGE sql AS $$ SELECT '1'::jsonb $$;
SELECT * FROM idempotency_execute('acme', 'n1', NULL, 'nothing(jsonb)');
SELECT * FROM idempotency_execute('acme', 'n1', NULL, 'nothing(jsonb)');
SELECT * FROM idempotency_execute('acme', 'n2', '{}', 'no_response(jsonb)');
SELECT * FROM idempotency_execute('acme', 'n3', NULL, 'strictly(jsonb)');
SELECT * FROM idempotency_execute('acme', 'n4', '{}', 'strictly(jsonb)');

-- Handlers that are none.
CREATE FUNCTION returns_text(request jsonb) RETURNS text LANGUAGE sql AS $$ SELECT ''::text $$;
CREATE FUNCTION returns_set(request jsonb) RETURNS SETOF jsonb LANGUAGE sql AS $$ SELECT '1'::jsonb $$;
CREATE FUNCTION takes_text(request text) RETURNS jsonb LANGUAGE sql AS $$ SELECT '1'::jsonb $$;
CREATE FUNCTION takes_two(request jsonb, more int DEFAULT 1) RETURNS jsonb LANGUAGE sql AS $$ SELECT '1'::jsonb $$;
CREATE PROCEDURE procedure(request jsonb) LANGUAGE sql AS '';
CREATE FUNCTION bad_status(request jsonb) RETURNS idempotency_response LANGUAGE sql AS $$ SELECT (99, NULL, NULL)::idempotency_response $$;
\set VERBOSITY sqlstate
SELECT outcome FROM idempotency_execute('acme', 'h', '{}', NULL);
SELECT outcome FROM idempotency_execute('acme', 'h', '{}', 0);
SELECT outcome FROM idempotency_execute('acme', 'h', '{}', 'returns_text(jsonb)');
SELECT outcome FROM idempotency_execute('acme', 'h', '{}', 'returns_set(jsonb)');
SELECT outcome FROM idempotency_execute('acme', 'h', '{}', 'takes_text(text)');
SELECT outcome FROM idempotency_execute('acme', 'h', '{}', 'takes_two(jsonb, int)');
SELECT outcome FROM idempotency_execute('acme', 'h', '{}', 'procedure(jsonb)');
SELECT outcome FROM idempotency_execute('acme', 'h', '{}', 'jsonb_agg(anyelement)');
SELECT outcome FROM idempotency_execute('acme', 'h', '{}', 'bad_status(jsonb)');
\set VERBOSITY default
SELECT outcome FROM idempotency_execute('acme', 'h', '{}', 'returns_text(jsonb)');
SELECT count(*) AS rows FROM idempotency_lookup('acme', 'h');

-- A handler runs as the caller: with the caller's rights and search_path.
CREATE ROLE regress_caller;
GRANT EXECUTE ON FUNCTION idempotency_execute TO regress_caller;
CREATE SCHEMA mine AUTHORIZATION regress_caller;
CREATE FUNCTION whoami(request jsonb) RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_build_object('user', current_user, 'path', current_setting('search_path')) $$;
CREATE FUNCTION reads_keys(request jsonb) RETURNS jsonb LANGUAGE sql AS $$
	SELECT to_jsonb(count(*)) FROM public.idempotency_keys $$;
CREATE FUNCTION secret(request jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT '1'::jsonb $$;
REVOKE ALL ON FUNCTION secret FROM PUBLIC;
SET ROLE regress_caller;
SET search_path = mine, public;
SELECT response_body FROM idempotency_execute('acme', 'who', '{}', 'whoami(jsonb)');
SELECT outcome FROM idempotency_execute('acme', 'no', '{}', 'reads_keys(jsonb)');
SELECT outcome FROM idempotency_execute('acme', 'no', '{}', 'secret(jsonb)');
RESET search_path;
RESET ROLE;
SELECT count(*) AS rows FROM idempotency_lookup('acme', 'no');

-- A handler that minds the key's business itself.
CREATE FUNCTION reentrant(request jsonb) RETURNS jsonb LANGUAGE sql AS $$
	SELECT to_jsonb(outcome) FROM idempotency_claim('acme', 'self') $$;
CREATE FUNCTION forgetful(request jsonb) RETURNS jsonb LANGUAGE sql AS $$
	SELECT to_jsonb(idempotency_forget('acme', 'self2')) $$;
SELECT outcome, response_body FROM idempotency_execute('acme', 'self', '{}', 'reentrant(jsonb)');
\set VERBOSITY sqlstate
SELECT outcome FROM idempotency_execute('acme', 'self2', '{}', 'forgetful(jsonb)');
\set VERBOSITY default

DROP SCHEMA mine;
REVOKE ALL ON FUNCTION idempotency_execute FROM regress_caller;
DROP ROLE regress_caller;
DROP FUNCTION as_json, as_response, raising, nothing, no_response, strictly,
	returns_text, returns_set, takes_text, takes_two, bad_status, whoami,
	reads_keys, secret, reentrant, forgetful;
DROP PROCEDURE procedure;
DROP TABLE effects;
TRUNCATE idempotency_keys;
