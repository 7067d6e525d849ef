DELETE FROM bare WHERE ctid = ANY (ARRAY(
	SELECT ctid FROM bare WHERE expires_at <= clock_timestamp() ORDER BY expires_at LIMIT 1000 FOR UPDATE SKIP LOCKED));
