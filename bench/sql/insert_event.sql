\set k random(1000000000000, 9999999999999)
INSERT INTO bare_inbox (tenant_id, source, event_id, payload, state, received_at, due_at, token, attempt) VALUES ('acme', 'stripe', :k::text, '{"amount": 100, "currency": "EUR"}', 'pending', clock_timestamp(), clock_timestamp(), 0, 0) ON CONFLICT (tenant_id, event_id, source) DO NOTHING;
