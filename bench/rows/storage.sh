# WAL and disk, the sweep, and what is left in the long run.

# after_keys ours|bare EXPRESSION: empties the table, fills it key by key, and
# prints an SQL expression of the number of :keys, :before (the place in the
# WAL) and :kept (the table)
after_keys()
{
	local table=bare keys before
	[ "$1" = bare ] || table=idempotency_keys
	keys=$(scaled 5000)
	sql -c "TRUNCATE $table" \
		-c "SELECT FROM pg_stat_reset_single_table_counters('$table'::regclass)" || return
	before=$(sql -c 'SELECT pg_current_wal_insert_lsn()') &&
	run "$bench/sql/keep_$1.sql" "$keys" >/dev/null || return
	wait_for are_counted "$table" "$keys"
	sql -v "keys=$keys" -v "before=$before" -v "kept=$table" <<<"SELECT $2"
}

# Statistics arrive after a while.
are_counted()
{
	[ "$(sql -c "SELECT pg_stat_get_tuples_updated('$1'::regclass)")" = "$2" ]
}

wal_per_key()
{
	after_keys "$1" "round((pg_current_wal_insert_lsn() - :'before') / :keys, 1)"
}

disk_per_key()
{
	after_keys "$1" "round(pg_total_relation_size(:'kept') / :keys::numeric, 1)"
}

hot_percentage()
{
	after_keys "$1" "round(100.0 * pg_stat_get_tuples_hot_updated(:'kept'::regclass) / :keys, 1)"
}

# sweep_rate ours|bare: a thousand at a time
sweep_rate()
{
	local script=sweep table=idempotency_keys keys batches rate
	batches=$(($(scaled 100000) / 1000))
	keys=$((batches * 1000))
	sql -c 'TRUNCATE idempotency_keys, bare' -c "CALL fill_keys($keys, expired => true)" || return
	[ "$1" != bare ] || {
		script=delete table=bare
		sql -c 'INSERT INTO bare SELECT * FROM idempotency_keys' || return
	}
	sql -c 'VACUUM ANALYZE idempotency_keys, bare' &&
	rate=$(times 1000 run "$bench/sql/$script.sql" "$batches") &&
	[ "$(sql -c "SELECT count(*) FROM $table")" = 0 ] && echo "$rate"
}

# steady_size ours|bare: in kB, after ten times the same number of keys came and
# went
steady_size()
{
	local table=bare script=delete keys cycle
	[ "$1" = bare ] || table=idempotency_keys
	keys=$(scaled 1000)
	[ "$1" = bare ] || script=sweep
	sql -c "TRUNCATE $table" && run "$bench/sql/keep_$1.sql" "$keys" >/dev/null || return
	for cycle in $(seq 10); do
		sql -c "UPDATE $table SET expires_at = now() - interval '1 s'" &&
		run "$bench/sql/$script.sql" $((keys / 1000 + 1)) >/dev/null &&
		sql -c "VACUUM $table" &&
		run "$bench/sql/keep_$1.sql" "$keys" >/dev/null || return
	done
	sql -c "SELECT pg_total_relation_size('$table') / 1024"
}

# ours_and_bare TITLE UNIT GOAL COMMAND
ours_and_bare()
{
	row "$1" "$2"
	beside 'ours' '' "$4" ours
	beside "the bare ${5:-INSERT + UPDATE}" "$3" "$4" bare
	take_turns
}

new_database storage
PGDATABASE=storage
ours_and_bare 'WAL of claim + complete' 'bytes/key' '<= 1.15' wal_per_key
ours_and_bare 'disk, with indexes' 'bytes/key' '' disk_per_key
ours_and_bare 'HOT updates' '% of updates' '' hot_percentage
ours_and_bare 'sweep of expired keys' 'keys/s' '' sweep_rate 'DELETE, SKIP LOCKED'
ours_and_bare 'size after ten times all keys were swept' 'kB' '' steady_size \
	'INSERT + UPDATE + DELETE'
