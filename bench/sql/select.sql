\set k random(1, 100000)
SELECT response_status, response_headers, response_body FROM idempotency_keys WHERE tenant_id = 'acme' AND key = :k::text AND scope = '';
