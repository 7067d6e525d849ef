import { Refusal } from './errors.js';

/**
 * Takes tickets from what is left, or refuses.  What others held for too long
 * is left, too.
 *
 * @returns {Promise<{price: number}>}
 */
export async function take(client, tenant, type, quantity) {
	const taken = await tryTake(client, tenant, type, quantity)
		?? (await giveBackLapsed(client, tenant, type) > 0 ? await tryTake(client, tenant, type, quantity) : undefined);
	if (!taken) {
		throw new Refusal(409, 'sold_out', 'there are not so many tickets left');
	}
	return taken;
}

export async function giveBack(client, tenant, type, quantity) {
	await client.query('UPDATE ticket_types SET available = available + $3 WHERE tenant = $1 AND id = $2', [tenant, type, quantity]);
}

/** One statement, so that nobody can come between looking and taking. */
async function tryTake(client, tenant, type, quantity) {
	const { rows: [row] } = await client.query(
		`UPDATE ticket_types SET available = available - $3 WHERE tenant = $1 AND id = $2 AND available >= $3
		RETURNING price::int`, [tenant, type, quantity]);
	return row;
}

/** @returns {Promise<number>} how many */
async function giveBackLapsed(client, tenant, type) {
	const { rows } = await client.query(
		`UPDATE reservations SET state = 'lapsed' WHERE tenant = $1 AND type = $2 AND state = 'held' AND held_until <= now()
		RETURNING quantity`, [tenant, type]);
	const quantity = rows.reduce((sum, row) => sum + row.quantity, 0);
	if (quantity > 0) {
		await giveBack(client, tenant, type, quantity);
	}
	return quantity;
}
