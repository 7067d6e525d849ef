\set k random(1000000000000, 9999999999999)
SELECT webhook_inbox_record('acme', 'stripe', :k::text, '{"amount": 100, "currency": "EUR"}');
