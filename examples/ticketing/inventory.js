import { Refusal } from './errors.js';

/**
 * Takes tickets from what is left, or refuses.  One statement, so that nobody
 * can come between looking and taking.
 *
 * @returns {Promise<{price: number}>}
 */
export async function take(client, tenant, type, quantity) {
	const { rows: [row] } = await client.query(
		`UPDATE ticket_types SET available = available - $3 WHERE tenant = $1 AND id = $2 AND available >= $3
		RETURNING price::int`, [tenant, type, quantity]);
	if (!row) {
		throw new Refusal(409, 'sold_out', 'there are not so many tickets left');
	}
	return row;
}

export async function giveBack(client, tenant, type, quantity) {
	await client.query('UPDATE ticket_types SET available = available + $3 WHERE tenant = $1 AND id = $2', [tenant, type, quantity]);
}
