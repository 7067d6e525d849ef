# Sourced by tools/bench: what is started beside the server, and stopped at the
# end.

background=()

wait_for()
{
	local deadline=$((SECONDS + 60))
	until "$@" >/dev/null 2>&1; do
		[ "$SECONDS" -lt "$deadline" ] || { echo "timeout: $*" >&2; exit 1; }
		sleep 0.05
	done
}

start_redis()
{
	mkdir "$work/$1"
	redis-server --port 0 --unixsocket "$work/$1.sock" --dir "$work/$1" \
		--save '' --appendonly yes --appendfsync "$1" >"$work/redis.log" &
	background+=($!)
	wait_for redis-cli -s "$work/$1.sock" ping
}

# A millisecond is added on the way to the server and back.
start_slow_network()
{
	slow_port=$((PGPORT + 1))
	node "$bench/slow_network.js" "$work/.s.PGSQL.$slow_port" \
		"$work/.s.PGSQL.$PGPORT" 0.5 2>>"$work/node.log" &
	background+=($!)
	wait_for test -S "$work/.s.PGSQL.$slow_port"
}

stop_background()
{
	[ ${#background[@]} = 0 ] || kill "${background[@]}" 2>/dev/null || true
}
