WITH due AS (
	SELECT tenant_id, source, event_id FROM bare_inbox
	WHERE due_at <= clock_timestamp() ORDER BY due_at LIMIT 50 FOR UPDATE SKIP LOCKED),
taken AS (
	UPDATE bare_inbox AS i SET state = 'processing', attempt = i.attempt + 1, token = i.token + 1, due_at = clock_timestamp() + interval '5 min'
	FROM due WHERE i.tenant_id = due.tenant_id AND i.source = due.source AND i.event_id = due.event_id
	RETURNING i.event_id, i.token, i.payload)
SELECT coalesce(array_agg(event_id), '{}') AS ids FROM taken \gset
UPDATE bare_inbox SET state = 'processed', due_at = NULL, finished_at = clock_timestamp(), expires_at = clock_timestamp() + interval '7 days'
WHERE tenant_id = 'acme' AND source = 'stripe' AND event_id = ANY (:ids);
