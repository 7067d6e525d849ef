-- What a call reads does not grow with what lies in the table, though its
-- plans are made while the table is empty, or by statistics of another time,
-- or anew for each call.
CREATE FUNCTION rows_read() RETURNS bigint LANGUAGE sql AS $$
	SELECT sum(pg_stat_get_xact_tuples_returned(relid))::bigint
	FROM pg_index, LATERAL (VALUES (indexrelid), (indrelid)) AS r (relid)
	WHERE indrelid IN ('webhook_inbox'::regclass, 'idempotency_keys'::regclass) $$;
-- Runs a statement, and warns if it read many rows.
CREATE PROCEDURE expect_few_reads(statement text) LANGUAGE plpgsql AS $$
DECLARE
	before bigint := rows_read();
BEGIN
	EXECUTE statement;
	IF rows_read() - before > 1000 THEN
		RAISE WARNING 'too many rows were read by %', statement;
	END IF;
END $$;
CREATE PROCEDURE expect_few_reads_everywhere() LANGUAGE plpgsql AS $$
BEGIN
	CALL expect_few_reads($s$ SELECT webhook_inbox_fetch() $s$);
	CALL expect_few_reads($s$ SELECT webhook_inbox_fetch(10, 'big') $s$);
	CALL expect_few_reads($s$ SELECT webhook_inbox_fetch(10, 'quiet') $s$);
	CALL expect_few_reads($s$ SELECT webhook_inbox_fetch(10, NULL, 'acme') $s$);
	CALL expect_few_reads($s$ SELECT webhook_inbox_fetch(10, NULL, 'globex') $s$);
	CALL expect_few_reads($s$ SELECT webhook_inbox_fetch(10, 'quiet', 'acme') $s$);
	CALL expect_few_reads($s$ SELECT webhook_inbox_fetch(10, 'big', 'globex') $s$);
	CALL expect_few_reads($s$ SELECT webhook_inbox_fetch(10, 'stream', 'acme', '0') $s$);
	CALL expect_few_reads($s$ SELECT webhook_inbox_record('acme', 'stream', gen_random_uuid()::text, stream => 'x') $s$);
	CALL expect_few_reads($s$ SELECT webhook_inbox_record('acme', 'stream', gen_random_uuid()::text, stream => 'x', sequence => 0) $s$);
	CALL expect_few_reads($s$ SELECT webhook_inbox_record('acme', 'big', '1') $s$);
	CALL expect_few_reads($s$ SELECT webhook_inbox_record_batch('acme', 'big', '[{"event_id": "1"}, {"event_id": "2", "stream": "x"}]') $s$);
	CALL expect_few_reads($s$ SELECT webhook_inbox_record_batch('acme', 'stream', jsonb_build_array(jsonb_build_object('event_id', gen_random_uuid(), 'stream', 'x'), jsonb_build_object('event_id', gen_random_uuid(), 'stream', 'y'))) $s$);
	CALL expect_few_reads($s$ SELECT webhook_inbox_fail('acme', 'big', event_id, token, 'x') FROM webhook_inbox_fetch(1, 'big') $s$);
	CALL expect_few_reads($s$ SELECT webhook_inbox_complete('acme', 'big', event_id, token) FROM webhook_inbox_fetch(1, 'big') $s$);
	CALL expect_few_reads($s$ SELECT webhook_inbox_requeue('acme', 'done', '7') $s$);
	CALL expect_few_reads($s$ SELECT webhook_inbox_requeue_dead(max_rows => 5) $s$);
	CALL expect_few_reads($s$ SELECT webhook_inbox_fetch(5, 'blocked') $s$);
	CALL expect_few_reads($s$ SELECT idempotency_claim('acme', '7') $s$);
	CALL expect_few_reads($s$ SELECT idempotency_complete('acme', k, token) FROM (SELECT gen_random_uuid()::text AS k OFFSET 0) AS g, idempotency_claim('acme', k) $s$);
	CALL expect_few_reads($s$ SELECT idempotency_claim_abandoned(5) $s$);
	CALL expect_few_reads($s$ SELECT idempotency_sweep(5) FROM idempotency_claim('acme', 'old', ttl => '0') $s$);
	CALL expect_few_reads($s$ SELECT idempotency_forget_tenant('initech') FROM idempotency_claim('initech', 'k'), webhook_inbox_record('initech', 's', 'e', stream => 'x') $s$);
END $$;

CREATE PROCEDURE fill() LANGUAGE plpgsql AS $$
BEGIN
	PERFORM FROM webhook_inbox_record_batch('acme', 'big', (SELECT jsonb_agg(jsonb_build_object('event_id', i::text)) FROM generate_series(1, 3000) AS i));
	PERFORM FROM webhook_inbox_record_batch('acme', 'stream', (SELECT jsonb_agg(jsonb_build_object('event_id', i::text, 'stream', 'x', 'sequence', i)) FROM generate_series(1, 3000) AS i));
	PERFORM FROM webhook_inbox_record_batch('acme', 'done', (SELECT jsonb_agg(jsonb_build_object('event_id', i::text, 'stream', 'x', 'processed', true)) FROM generate_series(1, 3000) AS i));
	-- as many streams, whose first events are in flight
	PERFORM FROM webhook_inbox_record_batch('acme', 'blocked', (SELECT jsonb_agg(jsonb_build_object('event_id', i::text, 'stream', repeat('long ', 40) || i % 300)) FROM generate_series(1, 3000) AS i));
	PERFORM FROM webhook_inbox_fetch(300, 'blocked');
	INSERT INTO idempotency_keys (tenant_id, scope, key, token, attempt, created_at, expires_at, completed_at, response_status)
	SELECT 'acme', '', i::text, 1, 1, now(), now() + interval '1 day', now(), 200 FROM generate_series(1, 3000) AS i ON CONFLICT DO NOTHING;
END $$;

-- Planned for tables that nobody has ever analyzed.
TRUNCATE webhook_inbox, idempotency_keys;
DISCARD PLANS;
CALL expect_few_reads_everywhere();
CALL fill();
CALL expect_few_reads_everywhere();
DISCARD PLANS;
CALL expect_few_reads_everywhere();

-- Planned for empty ones.
TRUNCATE webhook_inbox, idempotency_keys;
VACUUM ANALYZE webhook_inbox, idempotency_keys;
DISCARD PLANS;
CALL expect_few_reads_everywhere();
CALL fill();
SELECT count(*) AS turns FROM webhook_inbox WHERE source = 'blocked' AND due_at IS NOT NULL;
CALL expect_few_reads_everywhere();
SET plan_cache_mode = force_custom_plan;
CALL expect_few_reads_everywhere();
VACUUM ANALYZE webhook_inbox, idempotency_keys;
CALL expect_few_reads_everywhere();
RESET plan_cache_mode;
CALL expect_few_reads_everywhere();
-- The measure does measure.
CALL expect_few_reads($$ SELECT count(*) FROM webhook_inbox WHERE headers IS NOT NULL $$);

DROP PROCEDURE expect_few_reads_everywhere, expect_few_reads, fill;
DROP FUNCTION rows_read;
TRUNCATE webhook_inbox, idempotency_keys;
