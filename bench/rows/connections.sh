# Claiming and completing on more and more connections.
new_database connections
PGDATABASE=connections
row 'claim + complete, 1 connection' 'pairs/s'
beside 'ours' '' for_longer per_second keep_ours 1
for clients in 4 16 64; do
	beside "$clients connections" '' for_longer per_second keep_ours "$clients"
done
take_turns
