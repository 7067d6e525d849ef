\set k random(1000000000000, 9999999999999)
SELECT idempotency_execute('acme', :k::text, '{"amount": 100, "currency": "EUR"}', 'place_order(jsonb)');
