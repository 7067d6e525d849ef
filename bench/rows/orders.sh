# A claim, the work and its completion in one transaction.
new_database orders
PGDATABASE=orders
row 'claim + insert + complete, durable, 8 clients' 'orders/s'
beside 'ours' '' durably per_second order_ours 8
beside 'by hand, prepared SQL' '>= 1.0' durably per_second order_by_hand 8
beside 'by hand, PL/pgSQL' '' durably per_second order_plpgsql 8
beside 'SELECT, INSERT, SERIALIZABLE' '' durably per_second order_serializable 8
take_turns

row 'the same from Node, beside Redis SET NX + SET' 'orders/s'
beside 'ours' '' durably in_node ours order 8
beside 'Redis, appendfsync always' '' with_redis always durably in_node redis order 8
beside 'Redis, appendfsync everysec' '' with_redis everysec durably in_node redis order 8
take_turns
