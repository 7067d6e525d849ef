# The whole of an order in one call.

for script in execute order_by_hand execute_plpgsql; do
	new_database "only_$script"
done
# each has a database of its own, where nobody else's rows are
alone()
{
	in_database "only_$1" per_second "$1" 1
}

# execute_beside TITLE GOAL WRAPPER...
execute_beside()
{
	local title=$1 goal=$2
	shift 2
	row "idempotency_execute, $title" 'orders/s'
	beside 'ours' '' "$@" alone execute
	beside 'by hand, prepared SQL' "$goal" "$@" alone order_by_hand
	beside 'by hand, one PL/pgSQL function' '' "$@" alone execute_plpgsql
	take_turns
}

execute_beside 'on a socket' '>= 3'
execute_beside 'on a socket, durable' '>= 3' durably
execute_beside '1 ms of network' '>= 4' over_slow_network
execute_beside '1 ms of network, durable' '>= 4' durably over_slow_network
