\set k random(1000000000000, 9999999999999)
SELECT order_by_hand('acme', :k::text, '{"amount": 100, "currency": "EUR"}');
