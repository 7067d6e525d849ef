import { deterministic } from './keys.js';

/**
 * Moves money from one account to another.  The effect names the transfer, so
 * that booking it twice is an error and not a second payment.
 *
 * @param {import('pg').ClientBase} client
 * @param {{tenant: string, from: string, to: string, amount: number, effect: string}} transfer  amount in cents
 */
export async function transfer(client, { tenant, from, to, amount, effect }) {
	await client.query(
		`INSERT INTO ledger (tenant, transfer, account, amount, reference)
		VALUES ($1, $2, $3, -$5::bigint, $6), ($1, $2, $4, $5, $6)`,
		[tenant, deterministic(tenant, 'transfer', effect), from, to, amount, effect]);
}
