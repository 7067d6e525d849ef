import { Refusal } from '../errors.js';
import { settleMint, signMint } from '../mints.js';
import { buyerOf, hold, redeem, sell } from '../sales.js';
import { doSteps } from '../steps.js';
import { inTransaction } from '../transaction.js';

const id = { type: 'integer', minimum: 1, maximum: 2 ** 31 - 1 };
const address = { type: 'string', pattern: '^0x[0-9a-fA-F]{40}$' };

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
			body: { type: 'object', required: ['wallet'], properties: { wallet: address } },
		},
		config,
	}, async (request, reply) => {
		const terms = await chain.terms();
		const mint = await doSteps(pool, request.idempotency, {
			signed: (client) => signMint(client, chain, terms, { ...buyerOf(request), ticket: request.params.id, wallet: request.body.wallet }),
		});
		await settle(request, mint);
		return reply.code(mint.idempotency_key === request.idempotency.claim.key ? 201 : 200).send(view(mint));
	});

	app.post('/blockchain/purchases', {
		schema: { body: { type: 'object', required: ['type', 'wallet'], properties: { type: id, wallet: address } } },
		config,
	}, async (request, reply) => {
		const who = buyerOf(request);
		const { type, wallet } = request.body;
		const terms = await chain.terms();
		const mint = await doSteps(pool, request.idempotency, {
			reserved: (client) => hold(client, { ...who, type, quantity: 1 }),
			paid: (client, { id }) => buyHeld(client, who, id),
			signed: (client, { id }) => signMint(client, chain, terms, { ...who, ticket: id, wallet }),
		});
		await settle(request, mint);
		return reply.code(201).header('location', `/tickets/${mint.ticket}`).send(view(mint));
	});

	app.get('/blockchain/pending', async ({ user }) => {
		const { rows } = await pool.query(
			`SELECT m.ticket, m.token, m.hash, m.nonce::int, m.created_at, m.checked_at
			FROM mints m JOIN tickets t ON (t.tenant, t.id) = (m.tenant, m.ticket)
			WHERE t.tenant = $1 AND t.owner = $2 AND m.state = 'pending' ORDER BY m.chain, m.account, m.nonce`, [user.tenant, user.sub]);
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

async function buyHeld(client, who, reservation) {
	const { type, price } = await redeem(client, { ...who, reservation });
	const ticket = await sell(client, { ...who, type, price });
	await client.query('INSERT INTO token_purchases (tenant, ticket) VALUES ($1, $2)', [who.tenant, ticket.id]);
	return ticket;
}

function view({ ticket, token, wallet, hash }) {
	return { ticket, token, wallet, hash };
}
