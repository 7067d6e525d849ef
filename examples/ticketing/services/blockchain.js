import { Refusal } from '../errors.js';
import { take } from '../inventory.js';
import { transfer } from '../ledger.js';
import { settleMint, signMint } from '../mints.js';
import { doSteps } from '../steps.js';
import { inTransaction } from '../transaction.js';

const id = { type: 'integer', minimum: 1, maximum: 2 ** 31 - 1 };
const wallet = { type: 'string', pattern: '^0x[0-9a-fA-F]{40}$' };

/**
 * The blockchain service: tickets as tokens.  A request's transaction on the
 * chain is signed and stored in one step, and sent after it; so whoever resumes
 * sends the same one.
 *
 * @param {import('fastify').FastifyInstance} app
 */
export default async function blockchain(app) {
	const { pool, chain } = app;
	if (!chain) {
		return;
	}
	const config = { idempotency: { lease: '5min' } };

	app.post('/tickets/:id/mint', {
		schema: {
			params: { type: 'object', properties: { id } },
			body: { type: 'object', required: ['wallet'], properties: { wallet } },
		},
		config,
	}, async (request, reply) => {
		const terms = await chain.terms();
		const mint = await doSteps(pool, request.idempotency, {
			signed: (client) => signMint(client, chain, terms, wishOf(request, request.params.id)),
		});
		await settle(request, mint);
		return reply.code(mint.idempotency_key === request.idempotency.claim.key ? 201 : 200).send(view(mint));
	});

	app.post('/blockchain/purchases', {
		schema: { body: { type: 'object', required: ['type', 'wallet'], properties: { type: id, wallet } } },
		config,
	}, async (request, reply) => {
		const terms = await chain.terms();
		const mint = await doSteps(pool, request.idempotency, {
			reserved: (client) => reserve(client, request),
			paid: (client, ticket) => pay(client, ticket),
			signed: (client, ticket) => signMint(client, chain, terms, wishOf(request, ticket.id)),
		});
		await settle(request, mint);
		return reply.code(201).header('location', `/tickets/${mint.ticket}`).send(view(mint));
	});

	app.get('/blockchain/pending', async ({ user }) => {
		const { rows } = await pool.query(
			`SELECT ticket, token, hash, nonce::int, created_at, checked_at FROM mints
			WHERE tenant = $1 AND state = 'pending' ORDER BY chain, account, nonce`, [user.tenant]);
		return { pending: rows };
	});

	/** Sees a mint through to its end on the chain, and opens the transaction that the answer commits with. */
	async function settle({ idempotency }, mint) {
		const state = mint.state === 'pending' ? await mined(mint) : mint.state;
		if (state === 'failed') {
			await inTransaction(pool, (client) => settleMint(client, mint, state));
			throw new Refusal(409, 'mint_failed', `the contract has refused the transaction ${mint.hash}`);
		}
		await settleMint(await idempotency.begin(), mint, state);
	}

	async function mined(mint) {
		await chain.send(mint);
		return chain.wait(mint);
	}
}

function wishOf({ user, body, idempotency }, ticket) {
	return { tenant: user.tenant, owner: user.sub, ticket, wallet: body.wallet.toLowerCase(), idempotencyKey: idempotency.claim.key };
}

async function reserve(client, { user: { tenant, sub }, body: { type }, idempotency: { claim: { key } } }) {
	const { price } = await take(client, tenant, type, 1);
	const { rows: [ticket] } = await client.query(
		'INSERT INTO tickets (tenant, type, owner, price, idempotency_key) VALUES ($1, $2, $3, $4, $5) RETURNING *', [tenant, type, sub, price, key]);
	await client.query('INSERT INTO token_purchases (tenant, ticket) VALUES ($1, $2)', [tenant, ticket.id]);
	return ticket;
}

async function pay(client, ticket) {
	const { tenant, id, owner, price } = ticket;
	await transfer(client, { tenant, from: `buyer:${owner}`, to: 'sales', amount: Number(price), effect: `ticket:${id}:paid` });
	await client.query(`UPDATE tickets SET state = 'sold' WHERE tenant = $1 AND id = $2`, [tenant, id]);
	await client.query(`UPDATE token_purchases SET state = 'paid' WHERE tenant = $1 AND ticket = $2`, [tenant, id]);
	return ticket;
}

function view({ ticket, token, wallet, hash }) {
	return { ticket, token, wallet, hash };
}
