# A claim, the work and its completion in one transaction.
for peer in ours by_hand plpgsql serializable node; do
	new_database "orders_$peer"
done
# each has a database of its own, where nobody else's rows are
order()
{
	in_database "orders_$1" durably for_longer per_second "order_$1" 8
}

row 'claim + insert + complete, durable, 8 clients' 'orders/s'
beside 'ours' '' order ours
beside 'by hand, prepared SQL' '>= 1.0' order by_hand
beside 'by hand, PL/pgSQL' '' order plpgsql
beside 'SELECT, INSERT, SERIALIZABLE' '' order serializable
take_turns

PGDATABASE=orders_node
row 'the same from Node, beside Redis SET NX + SET' 'orders/s'
beside 'ours' '' durably in_node ours order 8
beside 'Redis, appendfsync always' '' with_redis always durably in_node redis order 8
beside 'Redis, appendfsync everysec' '' with_redis everysec durably in_node redis order 8
take_turns
