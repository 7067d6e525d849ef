# Webhook events: recording, handing out, draining.

# What was drained must not have run out.
still_due()
{
	[ "$(sql -c 'SELECT EXISTS (SELECT FROM webhook_inbox WHERE due_at <= now())
		AND EXISTS (SELECT FROM bare_inbox WHERE due_at <= now())')" = t ] || {
		echo 'there were too few events to drain' >&2
		exit 1
	}
}

new_database inbox
PGDATABASE=inbox
row 'record an event' 'events/s'
beside 'ours' '' per_second record 1
beside 'INSERT ON CONFLICT by hand' '' per_second insert_event 1
take_turns

new_database batches
row 'record a batch of 100' 'events/s'
beside 'ours' '' times 100 in_database batches per_second record_batch 1
beside 'record one by one' '>= 12' per_second record 1
beside 'INSERT ... SELECT by hand' '' times 100 per_second insert_batch 1
take_turns

row 'record a batch of 100, durable' 'events/s'
beside 'ours' '' times 100 in_database batches durably per_second record_batch 1
beside 'record one by one' '>= 12' durably per_second record 1
take_turns

new_database drain
PGDATABASE=drain
sql -c "CALL fill_inboxes($(scaled $((60000 * (ROUNDS + 2)))))" -c 'VACUUM ANALYZE'
row 'fetch 50 and complete them' 'events/s'
beside 'ours' '' times 50 per_second drain 1
beside 'SKIP LOCKED by hand' '' times 50 per_second drain_by_hand 1
take_turns
still_due

new_database jobs
PGDATABASE=jobs
row 'enqueue with a unique key from Node' 'events/s'
beside 'ours' '' in_node ours enqueue 4
beside 'pg-boss' '' in_node pg_boss enqueue 4
beside 'graphile-worker' '' in_node graphile_worker enqueue 4
take_turns

row 'drain from Node, 4 workers' 'events/s'
beside 'ours' '' in_node ours drain 4
beside 'pg-boss' '>= 3' in_node pg_boss drain 4
beside 'graphile-worker' '>= 3' in_node graphile_worker drain 4
take_turns

# a stream has an event in flight and 100,000 behind it, and a million
# processed events lie around, if there is a second for each measurement
new_database empty_inbox
new_database full_inbox
sql -d full_inbox >>"$work/psql.log" <<-SQL
	SELECT count(webhook_inbox_record('acme', 'stripe', i::text, stream => 'x'))
	FROM generate_series(1, $(scaled 100000)) AS i;
	INSERT INTO webhook_inbox (tenant_id, source, event_id, stream, sequence, state, received_at, finished_at, expires_at, token, attempt)
	SELECT 'acme', 'stripe', 'p' || i, CASE WHEN i % 2 = 0 THEN 'x' END, i, 'processed', now(), now(), now() + interval '1 day', 1, 1
	FROM generate_series(1, $(scaled 1000000)) AS i;
	VACUUM ANALYZE;
	SELECT event_id FROM webhook_inbox_fetch(lease => '1 day');
SQL
row 'idle fetch, full inbox' 'fetches/s'
beside 'ours' '' in_database full_inbox per_second idle_fetch 1
beside 'empty inbox' '>= 0.9' in_database empty_inbox per_second idle_fetch 1
take_turns
