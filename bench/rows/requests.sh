# Claims with larger and larger requests.

# request_script NAME SQL BYTES: the request is sent with each call
request_script()
{
	{
		echo '\set k random(1000000000000, 9999999999999)'
		printf "$2" "$(head -c $(($3 - 20)) /dev/zero | tr '\0' x)"
	} >"$work/$1_$3.sql"
}

new_database requests
PGDATABASE=requests
for bytes in 100 1000 10000 100000 1000000; do
	request_script claim "SELECT idempotency_claim('acme', ':k', '{\"description\": \"%s\"}');" "$bytes"
	request_script parse "SELECT '{\"description\": \"%s\"}'::jsonb IS NULL;" "$bytes"
	row "claim, request of $bytes bytes" 'claims/s'
	beside 'ours' '' per_second "claim_$bytes" 1 -M simple
	beside 'only parsing the request' '' per_second "parse_$bytes" 1 -M simple
	take_turns
done
