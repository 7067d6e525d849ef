\set k random(1000000000000, 9999999999999)
SELECT count(*) FROM webhook_inbox_record_batch('acme', 'stripe', (SELECT replace(events, 'KEY', :k::text)::jsonb FROM batch));
