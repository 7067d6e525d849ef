SELECT count(*) FROM webhook_inbox_record_batch('acme', 'stripe', (
	SELECT jsonb_agg(jsonb_build_object('event_id', ((random() * 9 + 1) * 1e12)::bigint::text, 'payload', '{"amount": 100, "currency": "EUR"}'::jsonb))
	FROM generate_series(1, 100)));
