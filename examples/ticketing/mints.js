import { Refusal } from './errors.js';
import { emit } from './events.js';
import { giveBack } from './inventory.js';
import { deterministic } from './keys.js';
import { transfer } from './ledger.js';

/**
 * The mint of a ticket: the one there is, or one that is signed and stored here
 * and has yet to be sent.  Locks the ticket, and then the account's nonce.
 *
 * @param {import('pg').ClientBase} client
 * @param {import('./chain.js').Chain} chain
 * @param {Awaited<ReturnType<import('./chain.js').Chain['terms']>>} terms
 * @param {{tenant: string, user: string, ticket: number, wallet: `0x${string}`, idempotencyKey: string}} wish
 */
export async function signMint(client, chain, terms, { tenant, user, ticket, wallet, idempotencyKey }) {
	const { rowCount } = await client.query(
		`SELECT FROM tickets WHERE tenant = $1 AND id = $2 AND owner = $3 AND state = 'sold' FOR UPDATE`, [tenant, ticket, user]);
	if (!rowCount) {
		throw new Refusal(404, 'no_such_ticket', 'you have bought no such ticket');
	}
	const { rows: [existing] } = await client.query(
		`SELECT * FROM mints WHERE tenant = $1 AND ticket = $2 AND state <> 'failed'`, [tenant, ticket]);
	if (existing) {
		return existing;
	}
	const nonce = await takeNonce(client, chain.account, terms);
	const key = deterministic(tenant, 'ticket', ticket, 'mint');
	const token = BigInt(`0x${key.replaceAll('-', '')}`);
	const { hash, signed } = await chain.sign({ ...terms, nonce }, wallet, token);
	const { rows: [mint] } = await client.query(
		`INSERT INTO mints (tenant, ticket, key, token, wallet, chain, account, nonce, hash, signed, idempotency_key)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) RETURNING *`,
		[tenant, ticket, key, token, wallet, terms.chainId, chain.account, nonce, hash, signed, idempotencyKey]);
	return mint;
}

/** The account's next nonce: the one after the last that was taken here, unless the chain knows of more. */
async function takeNonce(client, account, { chainId, nonce }) {
	const { rows: [{ taken }] } = await client.query(
		`INSERT INTO nonces (chain, account, next) VALUES ($1, $2, $3::bigint + 1)
		ON CONFLICT (chain, account) DO UPDATE SET next = greatest(nonces.next + 1, excluded.next) RETURNING (next - 1)::int AS taken`, [chainId, account, nonce]);
	return taken;
}

/**
 * Notes what the chain says has become of a mint: the ticket gets its token, or
 * its buyer the money back.  Whoever comes second changes nothing.
 *
 * @param {import('pg').ClientBase} client
 * @param {{tenant: string, id: number, ticket: number}} mint
 * @param {'confirmed' | 'failed'} state
 */
export async function settleMint(client, { tenant, id, ticket }, state) {
	await client.query('SELECT FROM tickets WHERE tenant = $1 AND id = $2 FOR UPDATE', [tenant, ticket]);
	const { rows: [mint] } = await client.query(
		`UPDATE mints SET state = $3, settled_at = now() WHERE tenant = $1 AND id = $2 AND state = 'pending' RETURNING *`, [tenant, id, state]);
	if (!mint) {
		return;
	}
	if (state === 'confirmed') {
		await client.query('UPDATE tickets SET token = $3 WHERE tenant = $1 AND id = $2', [tenant, ticket, mint.token]);
	} else {
		await refundPurchase(client, tenant, ticket);
	}
	await emit(client, {
		tenant, aggregate: `ticket:${ticket}`, type: `ticket.mint_${state}`,
		payload: { token: mint.token, hash: mint.hash }, idempotencyKey: mint.idempotency_key,
	});
}

/** A ticket that was sold with its token is not sold without. */
async function refundPurchase(client, tenant, ticket) {
	const { rowCount } = await client.query(
		`UPDATE token_purchases SET refunded = true WHERE tenant = $1 AND ticket = $2 AND NOT refunded`, [tenant, ticket]);
	if (rowCount) {
		const { rows: [{ type, owner, price }] } = await client.query(
			`UPDATE tickets SET state = 'cancelled' WHERE tenant = $1 AND id = $2 RETURNING type, owner, price`, [tenant, ticket]);
		await giveBack(client, tenant, type, 1);
		await transfer(client, { tenant, from: 'sales', to: `buyer:${owner}`, amount: Number(price), effect: `ticket:${ticket}:refund` });
	}
}
