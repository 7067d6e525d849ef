\set k random(1000000000000, 9999999999999)
SELECT idempotency_claim('acme', :k::text, '{"amount": 100, "currency": "EUR"}');
