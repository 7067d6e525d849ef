import { Refusal } from '../errors.js';
import { emit } from '../events.js';
import { take } from '../inventory.js';
import { transfer } from '../ledger.js';

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
		const { client, claim: { key } } = request.idempotency;
		const { user: { tenant, sub }, body: { type, quantity } } = request;
		const { price } = await take(client, tenant, type, quantity);
		const { rows: [reservation] } = await client.query(
			`INSERT INTO reservations (tenant, user_id, type, quantity, price, idempotency_key) VALUES ($1, $2, $3, $4, $5, $6)
			RETURNING id, type, quantity, price::int, held_until`, [tenant, sub, type, quantity, price, key]);
		await emit(client, { tenant, aggregate: `reservation:${reservation.id}`, type: 'reservation.made', payload: reservation, idempotencyKey: key });
		return reply.code(201).send(reservation);
	});

	const someOrReserved = { type: 'object', properties, oneOf: [{ required: ['type', 'quantity'] }, { required: ['reservation'] }] };
	app.post('/tickets/purchase', { schema: { body: someOrReserved } }, async (request, reply) => {
		const { type, quantity, price } = await (request.body.reservation ? reserved(request) : taken(request));
		const bought = [];
		for (let i = 0; i < quantity; i++) {
			bought.push(await sell(request, type, price));
		}
		return reply.code(201).send({ tickets: bought.map(view), total: price * quantity });
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

/** One statement, so that what is held is bought once, and not given back meanwhile. */
async function reserved({ idempotency: { client }, user: { tenant, sub }, body: { reservation } }) {
	const { rows: [row] } = await client.query(
		`UPDATE reservations SET state = 'bought' WHERE tenant = $1 AND user_id = $2 AND id = $3 AND state = 'held' AND held_until > now()
		RETURNING type, quantity, price::int`, [tenant, sub, reservation]);
	if (!row) {
		throw new Refusal(409, 'not_held', 'nothing is held for you under this number');
	}
	return row;
}

async function sell({ idempotency: { client, claim: { key } }, user: { tenant, sub } }, type, price) {
	const { rows: [ticket] } = await client.query(
		`INSERT INTO tickets (tenant, type, owner, price, state, idempotency_key) VALUES ($1, $2, $3, $4, 'sold', $5)
		RETURNING *`, [tenant, type, sub, price, key]);
	const aggregate = `ticket:${ticket.id}`;
	await transfer(client, { tenant, from: `buyer:${sub}`, to: 'sales', amount: price, effect: `${aggregate}:paid` });
	await emit(client, { tenant, aggregate, type: 'ticket.sold', payload: view(ticket), idempotencyKey: key });
	return ticket;
}

function view({ id, type, price, state }) {
	return { id, type, price: Number(price), state };
}
