# New claims among more and more keys.

# among KEYS: few keys begin anew each time, as what is claimed adds to them
among()
{
	[ "$1" -gt 100000 ] || sql -d "keys_$1" -c 'TRUNCATE idempotency_keys' \
		-c "CALL fill_keys($1)" -c 'VACUUM ANALYZE' || return
	in_database "keys_$1" per_second claim 1
}

for amount in $KEYS; do
	new_database "keys_$amount"
	sql -d "keys_$amount" -c "CALL fill_keys($amount)" -c 'VACUUM ANALYZE'
done
first=${KEYS%% *}
row "new claims among $first keys" 'claims/s'
beside 'ours' '' among "$first"
for amount in ${KEYS#"$first"}; do
	beside "among $amount" '<= 1.11' among "$amount"
done
take_turns
