# The answer of a completed key.
new_database replay
PGDATABASE=replay
sql -c 'CALL fill_known_keys(100000)' -c 'VACUUM ANALYZE'
row 'replay' 'replays/s'
beside 'ours' '' per_second replay 1
beside 'SELECT by key' '>= 0.8' per_second select 1
take_turns

seq 100000 | sed 's/.*/SET known:& "{\\"id\\": 42, \\"status\\": \\"paid\\"}"/' |
	redis-cli -s "$work/everysec.sock" --pipe >>"$work/redis.log"
row 'the same from Node' 'replays/s'
beside 'ours' '' in_node ours replay 1
beside 'Redis GET' '' with_redis everysec in_node redis replay 1
take_turns
