\set k random(1000000000000, 9999999999999)
BEGIN;
INSERT INTO bare (tenant_id, scope, key, request_hash, token, attempt, created_at, lease_expires_at, expires_at) VALUES ('acme', '', :k::text, '\x8a14a394c2cea2f3fcf11a2715e0179f593cd8bc96a1630326f6ea0256dafa3b', 1795255850801339, 1, clock_timestamp(), clock_timestamp() + interval '30 min', clock_timestamp() + interval '24 h') ON CONFLICT (tenant_id, key, scope) DO NOTHING RETURNING token \gset
INSERT INTO orders (key, amount) VALUES (:k::text, 100);
UPDATE bare SET response_status = 201, response_body = '{"id": 42, "status": "paid"}', completed_at = clock_timestamp(), lease_expires_at = NULL WHERE tenant_id = 'acme' AND key = :k::text AND scope = '' AND token = :token;
COMMIT;
