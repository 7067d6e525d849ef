-- What makes a row too long is compressed by lz4, if the server was built with
-- it, whatever the setting, and comes back as it was.
SET default_toast_compression = pglz;
CREATE FUNCTION long_text() RETURNS text IMMUTABLE LANGUAGE sql AS $$ SELECT repeat('0123456789', 10000) $$;
CREATE FUNCTION long_json() RETURNS jsonb IMMUTABLE LANGUAGE sql AS $$ SELECT jsonb_build_object('x', long_text()) $$;

-- A long value in each column that may have one, and how it is compressed.
CREATE FUNCTION methods() RETURNS TABLE ("table" text, "column" text, method text) LANGUAGE plpgsql AS $$
DECLARE
	token bigint;
BEGIN
	PERFORM idempotency_claim('acme', 'kept', long_json(), keep_request => true);
	token := (idempotency_claim('acme', 'text', long_json())).token;
	PERFORM idempotency_checkpoint('acme', 'text', token, 'sent', long_json());
	PERFORM idempotency_complete('acme', 'text', token, 200, long_text(), long_json());
	token := (idempotency_claim('acme', 'bytes')).token;
	PERFORM idempotency_complete('acme', 'bytes', token, 200, long_text()::bytea);
	PERFORM webhook_inbox_record('acme', 'shop', 'e', long_json(), headers => long_json());
	RETURN QUERY SELECT 'idempotency_keys', v.* FROM idempotency_keys, LATERAL (VALUES
			('request', pg_column_compression(request)), ('recovery_data', pg_column_compression(recovery_data)),
			('response_headers', pg_column_compression(response_headers)),
			('response_body', pg_column_compression(response_body)),
			('response_bytes', pg_column_compression(response_bytes))) AS v
		WHERE v.column2 IS NOT NULL
		UNION ALL SELECT 'webhook_inbox', v.* FROM webhook_inbox, LATERAL (VALUES
			('payload', pg_column_compression(payload)), ('headers', pg_column_compression(headers))) AS v;
END $$;
SELECT enumvals @> '{lz4}' AS has_lz4 FROM pg_settings WHERE name = 'default_toast_compression' \gset
SELECT "table", "column", method = CASE WHEN :'has_lz4' THEN 'lz4' ELSE 'pglz' END AS as_best FROM methods();

SELECT response_body = long_text() AS body, response_headers = long_json() AS headers, response_bytes = long_text()::bytea AS bytes
FROM unnest('{text, bytes}'::text[]) AS key, idempotency_claim('acme', key);
SELECT recovery_data = long_json() AS recovery_data FROM idempotency_lookup('acme', 'text');
SELECT outcome FROM idempotency_claim('acme', 'kept', long_json());
SELECT outcome, payload_changed FROM webhook_inbox_record('acme', 'shop', 'e', long_json());
SELECT payload = long_json() AS payload, headers = long_json() AS headers FROM webhook_inbox_fetch();

-- On a server that says it has no lz4, the extension does without.
BEGIN;
SET LOCAL allow_system_table_mods = on;
ALTER VIEW pg_catalog.pg_settings RENAME TO all_settings;
CREATE VIEW pg_catalog.pg_settings AS SELECT name, array_remove(enumvals, 'lz4') AS enumvals FROM all_settings;
DROP EXTENSION idempotency;
CREATE EXTENSION idempotency;
SELECT * FROM methods();
SELECT response_body = long_text() AS body FROM idempotency_claim('acme', 'text');
ROLLBACK;

DROP FUNCTION methods, long_json, long_text;
TRUNCATE idempotency_keys, webhook_inbox;
