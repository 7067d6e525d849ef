\set k random(1, 100000)
SELECT idempotency_claim('acme', :k::text, '{"amount": 100, "currency": "EUR"}');
