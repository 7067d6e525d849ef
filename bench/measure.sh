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
# for scripts whose text matters.  An aborted client is a failure.
run()
{
	local script=$1 transactions=$2
	shift 2
	pgbench -n -M prepared --max-tries=1000 -t "$transactions" \
		-f "$script" "$@" 2>>"$work/pgbench.log" >"$work/pgbench.out" &&
	grep -q '^number of failed transactions: 0 ' "$work/pgbench.out" || return
	sed -n 's/^tps = \([0-9.]*\).*/\1/p' "$work/pgbench.out"
}

# how many transactions are so many seconds: fitting SECONDS CLIENTS RATE
fitting()
{
	awk -v "seconds=$1" -v "clients=$2" -v "rate=$3" \
		'BEGIN { n = int(rate * seconds / clients); print n < 5 ? 5 : n }'
}

# Transactions per second: per_second SCRIPT CLIENTS [ARGUMENT...].  How many
# fit into the time is known from the time before; the first time, from runs that
# don't count.
per_second()
{
	local script=$bench/sql/$1.sql clients=$2 known rate
	[ -e "$script" ] || script=$work/$1.sql
	known="$* $PGDATABASE $PGPORT ${PGOPTIONS:-}"
	known=$work/rate.${known//[^a-zA-Z0-9]/_}
	shift 2
	set -- -c "$clients" -j $((clients > 1 ? 2 : 1)) "$@"
	[ -e "$known" ] || {
		rate=$(run "$script" 10 "$@") &&
		run "$script" "$(fitting 0.3 "$clients" "$rate")" "$@" >"$known"
	} || return
	rate=$(run "$script" "$(fitting "$SECONDS_EACH" "$clients" "$(cat "$known")")" "$@") || return
	echo "$rate" | tee "$known"
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

# What a session does for the first time counts less: where that differs, or
# where there are many sessions.
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
