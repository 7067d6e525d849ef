import { Refusal } from '../errors.js';
import { take } from '../inventory.js';
import { buyerOf, hold, redeem, sell } from '../sales.js';

const id = { type: 'integer', minimum: 1, maximum: 2 ** 31 - 1 };
const quantity = { type: 'integer', minimum: 1, maximum: 10 };
const properties = { type: id, quantity, reservation: id };

/**
 * The ticket service: tickets are held for a while, and bought.  All of its
 * work is in this database, so each request is one transaction with its claim.
 *
 * @param {import('fastify').FastifyInstance} app
 */
export default async function tickets(app) {
	const some = { type: 'object', required: ['type', 'quantity'], properties };
	app.post('/tickets/reservations', { schema: { body: some } }, async (request, reply) => {
		const { type, quantity } = request.body;
		return reply.code(201).send(await hold(request.idempotency.client, { ...buyerOf(request), type, quantity }));
	});

	const someOrReserved = { type: 'object', properties, oneOf: [{ required: ['type', 'quantity'] }, { required: ['reservation'] }] };
	app.post('/tickets/purchase', { schema: { body: someOrReserved } }, async (request, reply) => {
		const { client } = request.idempotency;
		const who = buyerOf(request);
		const { reservation } = request.body;
		const { type, quantity, price } = await (reservation ? redeem(client, { ...who, reservation }) : taken(request));
		const bought = [];
		for (let i = 0; i < quantity; i++) {
			bought.push(await sell(client, { ...who, type, price }));
		}
		return reply.code(201).send({ tickets: bought, total: price * quantity });
	});

	app.get('/tickets/:id', { schema: { params: { type: 'object', properties: { id } } } }, async ({ params, user }) => {
		const { rows: [ticket] } = await app.pool.query(
			'SELECT * FROM tickets WHERE tenant = $1 AND owner = $2 AND id = $3', [user.tenant, user.sub, params.id]);
		if (!ticket) {
			throw new Refusal(404, 'no_such_ticket', 'you have no such ticket');
		}
		return view(ticket);
	});
}

async function taken({ idempotency: { client }, user: { tenant }, body: { type, quantity } }) {
	const { price } = await take(client, tenant, type, quantity);
	return { type, quantity, price };
}

function view({ id, type, price, state }) {
	return { id, type, price: Number(price), state };
}
