# The whole of an order in one call.

# execute_beside TITLE GOAL WRAPPER...
execute_beside()
{
	local title=$1 goal=$2
	shift 2
	row "idempotency_execute, $title" 'orders/s'
	beside 'ours' '' "$@" per_second execute 1
	beside 'by hand, prepared SQL' "$goal" "$@" per_second order_by_hand 1
	beside 'by hand, one PL/pgSQL function' '' "$@" per_second execute_plpgsql 1
	take_turns
}

new_database execute
PGDATABASE=execute
execute_beside 'on a socket' '>= 3'
execute_beside 'on a socket, durable' '>= 3' durably
execute_beside '1 ms of network' '>= 4' over_slow_network
execute_beside '1 ms of network, durable' '>= 4' durably over_slow_network
