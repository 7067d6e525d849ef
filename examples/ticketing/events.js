import { deterministic } from './keys.js';

/**
 * Notes what happened to a thing, behind what happened to it before.  The
 * caller has locked or just made the thing, so that the sequence has no gap.
 *
 * @param {import('pg').ClientBase} client
 * @param {{tenant: string, aggregate: string, type: string, payload?: object, idempotencyKey?: string}} event
 */
export async function emit(client, { tenant, aggregate, type, payload = {}, idempotencyKey }) {
	const { rows: [{ sequence }] } = await client.query(
		'SELECT coalesce(max(sequence), 0) + 1 AS sequence FROM events WHERE tenant = $1 AND aggregate = $2', [tenant, aggregate]);
	await client.query(
		'INSERT INTO events (tenant, aggregate, sequence, key, type, payload, idempotency_key) VALUES ($1, $2, $3, $4, $5, $6, $7)',
		[tenant, aggregate, sequence, deterministic(tenant, aggregate, sequence, type), type, payload, idempotencyKey]);
}
