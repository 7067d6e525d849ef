import { settleMint } from './mints.js';
import { inTransaction } from './transaction.js';

/**
 * Looks after mints that are pending, so that each is settled also when its
 * client never comes back: the one whose turn it is gets settled if it is
 * mined, and sent again if the chain has lost it or never got it.
 *
 * @param {import('pg').Pool} pool
 * @param {import('./chain.js').Chain} chain
 * @returns {Promise<boolean>} whether there was one
 */
export async function checkPendingMint(pool, chain) {
	const { rows: [mint] } = await pool.query(
		`UPDATE mints SET checked_at = now() WHERE (tenant, id) = (
			SELECT tenant, id FROM mints WHERE state = 'pending' AND account = $1 AND checked_at < now() - interval '1 second'
			ORDER BY checked_at, nonce LIMIT 1 FOR UPDATE SKIP LOCKED)
		RETURNING *`, [chain.account]);
	if (!mint) {
		return false;
	}
	const state = await chain.outcome(mint);
	if (state) {
		await inTransaction(pool, (client) => settleMint(client, mint, state));
	} else {
		await chain.send(mint);
	}
	return true;
}
