\set k random(1000000000000, 9999999999999)
INSERT INTO bare_inbox (tenant_id, source, event_id, payload, state, received_at, due_at, token, attempt)
SELECT 'acme', 'stripe', e->>'event_id', e->'payload', 'pending', clock_timestamp(), clock_timestamp(), 0, 0
FROM jsonb_array_elements((SELECT replace(events, 'KEY', :k::text)::jsonb FROM batch)) AS e
ON CONFLICT (tenant_id, event_id, source) DO NOTHING;
