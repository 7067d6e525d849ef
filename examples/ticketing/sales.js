import { Refusal } from './errors.js';
import { emit } from './events.js';
import { take } from './inventory.js';
import { transfer } from './ledger.js';

/** Who buys, and the key of the request that does. */
export function buyerOf({ user: { tenant, sub: user }, idempotency: { claim: { key: idempotencyKey } } }) {
	return { tenant, user, idempotencyKey };
}

/**
 * Holds tickets for somebody for a while, at today's price.
 *
 * @param {import('pg').ClientBase} client
 * @param {{tenant: string, user: string, type: number, quantity: number, idempotencyKey: string}} wish
 */
export async function hold(client, { tenant, user, type, quantity, idempotencyKey }) {
	const { price } = await take(client, tenant, type, quantity);
	const { rows: [reservation] } = await client.query(
		`INSERT INTO reservations (tenant, user_id, type, quantity, price, idempotency_key) VALUES ($1, $2, $3, $4, $5, $6)
		RETURNING id, type, quantity, price::int, held_until`, [tenant, user, type, quantity, price, idempotencyKey]);
	await emit(client, { tenant, aggregate: `reservation:${reservation.id}`, type: 'reservation.made', payload: reservation, idempotencyKey });
	return reservation;
}

/**
 * What is held for somebody is so no more, as it is bought.  One statement, so
 * that it is bought once, and not given back meanwhile.
 *
 * @returns {Promise<{type: number, quantity: number, price: number}>}
 */
export async function redeem(client, { tenant, user, reservation }) {
	const { rows: [held] } = await client.query(
		`UPDATE reservations SET state = 'bought' WHERE tenant = $1 AND user_id = $2 AND id = $3 AND state = 'held' AND held_until > now()
		RETURNING type, quantity, price::int`, [tenant, user, reservation]);
	if (!held) {
		throw new Refusal(409, 'not_held', 'nothing is held for you under this number');
	}
	return held;
}

/** One ticket that was taken from what is left becomes somebody's, and is paid. */
export async function sell(client, { tenant, user, type, price, idempotencyKey }) {
	const { rows: [ticket] } = await client.query(
		`INSERT INTO tickets (tenant, type, owner, price, state, idempotency_key) VALUES ($1, $2, $3, $4, 'sold', $5)
		RETURNING id, type, price::int, state`, [tenant, type, user, price, idempotencyKey]);
	const aggregate = `ticket:${ticket.id}`;
	await transfer(client, { tenant, from: `buyer:${user}`, to: 'sales', amount: price, effect: `${aggregate}:paid` });
	await emit(client, { tenant, aggregate, type: 'ticket.sold', payload: ticket, idempotencyKey });
	return ticket;
}
