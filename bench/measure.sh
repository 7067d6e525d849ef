# Sourced by tools/bench: how a number is measured, and under which circumstances.

sql()
{
	psql -XqAt -v ON_ERROR_STOP=1 "$@" 2>>"$work/psql.log"
}

# A database to begin with: new_database NAME
new_database()
{
	sql -c "CREATE DATABASE $1 TEMPLATE bench"
}

# Runs pgbench: run SCRIPT TRANSACTIONS [ARGUMENT...], the argument -M simple
# for scripts whose text matters
run()
{
	local script=$1 transactions=$2
	shift 2
	pgbench -n -M prepared --max-tries=1000 -t "$transactions" \
		-f "$script" "$@" 2>>"$work/pgbench.log" >"$work/pgbench.out"
	grep -q '^number of failed transactions: 0 ' "$work/pgbench.out"
	sed -n 's/^tps = \([0-9.]*\).*/\1/p' "$work/pgbench.out"
}

# Transactions per second: per_second SCRIPT CLIENTS [ARGUMENT...].  How many
# fit into the time is known from the time before.
per_second()
{
	local script=$bench/sql/$1.sql clients=$2 known
	[ -e "$script" ] || script=$work/$1.sql
	known="$* $PGDATABASE $PGPORT ${PGOPTIONS:-}"
	known=$work/rate.${known//[^a-zA-Z0-9]/_}
	shift 2
	[ -e "$known" ] || run "$script" 10 -c "$clients" "$@" >"$known"
	run "$script" "$(awk -v "seconds=$SECONDS_EACH" -v "clients=$clients" \
		'{ n = int($1 * seconds / clients); print n < 5 ? 5 : n }' "$known")" \
		-c "$clients" -j $((clients > 1 ? 2 : 1)) "$@" >"$known.new"
	mv "$known.new" "$known"
	cat "$known"
}

# The same with clients that run in Node: in_node PEER OPERATION CLIENTS
in_node()
{
	node "$bench/rate.js" "$1" "$2" "$3" "$SECONDS_EACH" 2>>"$work/node.log"
}

# Each waits until its commit is on disk.
durably()
{
	PGOPTIONS='-c synchronous_commit=on' "$@"
}

over_slow_network()
{
	PGPORT=$slow_port "$@"
}

# Many connections take a while to get going.
for_longer()
{
	SECONDS_EACH=$(awk "BEGIN { print 3 * $SECONDS_EACH }") "$@"
}

in_database()
{
	PGDATABASE=$1 "${@:2}"
}

with_redis()
{
	REDIS_SOCKET=$work/$1.sock "${@:2}"
}

# times NUMBER COMMAND...: multiplies what the command prints
times()
{
	"${@:2}" | awk -v "factor=$1" '{ print $1 * factor }'
}

# a number of rows that is worth the time: scaled NUMBER, of one second
scaled()
{
	awk -v "n=$1" -v "seconds=$SECONDS_EACH" \
		'BEGIN { n = int(n * seconds); print n < 1000 ? 1000 : n }'
}
