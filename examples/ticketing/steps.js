import { inTransaction } from './transaction.js';

/**
 * Does those steps of a request that have not been done yet.  What a step
 * writes and its recovery point are one transaction, so that whoever resumes
 * knows which is the next; each step gets what the one before it has returned.
 *
 * @param {import('pg').Pool} pool
 * @param {import('../fastify-idempotency/work.js').Work} work
 * @param {Record<string, (client: import('pg').PoolClient, data?: object) => Promise<object>>} steps  by recovery point, in their order
 * @returns {Promise<object>} what the last step has returned
 */
export async function doSteps(pool, { claim, recoveryPoint, recoveryData }, steps) {
	const points = Object.keys(steps);
	let data = recoveryData;
	for (const point of points.slice(points.indexOf(recoveryPoint) + 1)) {
		data = await inTransaction(pool, async (client) => {
			const result = await steps[point](client, data);
			await client.query(
				'SELECT idempotency_checkpoint($1, $2, $3, $4, $5::jsonb, scope => $6, lease => $7::interval)',
				[claim.tenant, claim.key, claim.token, point, JSON.stringify(result), claim.scope, claim.lease]);
			return result;
		});
	}
	return data;
}
