# Duplicates that come while the key is held.

# duplicates PEER answer|blocked
duplicates()
{
	node "$bench/duplicates.js" "$1" "$2" "$SECONDS_EACH" 2>>"$work/node.log"
}

new_database held
PGDATABASE=held
row '64 duplicates of a key held for 100 ms' 'ms to the answer'
beside 'ours' '' duplicates ours answer
beside 'SELECT by key' '<= 3' duplicates select answer
beside 'INSERT ON CONFLICT by hand' '' duplicates by_hand answer
beside 'by hand, PL/pgSQL' '' duplicates plpgsql answer
beside 'SELECT, INSERT, SERIALIZABLE' '' duplicates serializable answer
beside 'Redis SET NX' '' with_redis everysec duplicates redis answer
take_turns

row '... connections blocked meanwhile' 'connections'
beside 'ours' '' duplicates ours blocked
beside 'INSERT ON CONFLICT by hand' '<= 0' duplicates by_hand blocked
beside 'by hand, PL/pgSQL' '<= 0' duplicates plpgsql blocked
beside 'SELECT, INSERT, SERIALIZABLE' '<= 0' duplicates serializable blocked
take_turns
