\set k random(1000000000000, 9999999999999)
BEGIN;
SELECT token FROM idempotency_claim('acme', :k::text, '{"amount": 100, "currency": "EUR"}') \gset
INSERT INTO orders (key, amount) VALUES (:k::text, 100);
SELECT idempotency_complete('acme', :k::text, :token, 201, '{"id": 42, "status": "paid"}');
COMMIT;
