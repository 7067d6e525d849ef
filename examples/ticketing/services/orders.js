import { Refusal } from '../errors.js';
import { emit } from '../events.js';
import { giveBack, take } from '../inventory.js';
import { transfer } from '../ledger.js';

const amount = { type: 'integer', minimum: 1, maximum: 100_000_000 };
const line = {
	type: 'object',
	required: ['type', 'quantity'],
	properties: { type: { type: 'integer', minimum: 1, maximum: 2 ** 31 - 1 }, quantity: { type: 'integer', minimum: 1, maximum: 10 } },
};
const byId = { type: 'object', properties: { id: { type: 'integer', minimum: 1, maximum: 2 ** 31 - 1 } } };

/**
 * The order service: all of its work is in this database, so each request is
 * one transaction with its claim.
 *
 * @param {import('fastify').FastifyInstance} app
 */
export default async function orders(app) {
	app.post('/orders', { schema: { body: line } }, async (request, reply) => {
		const { client, claim: { key } } = request.idempotency;
		const { tenant, sub } = request.user;
		const { type, quantity } = request.body;
		const { rows: [order] } = await client.query(
			`INSERT INTO orders (tenant, user_id, type, quantity, total, idempotency_key)
			SELECT tenant, $2, id, $4::int, price * $4::int, $5 FROM ticket_types WHERE tenant = $1 AND id = $3
			RETURNING *`, [tenant, sub, type, quantity, key]);
		if (!order) {
			throw new Refusal(404, 'no_such_type', 'there is no such type of ticket');
		}
		await note(request, order, 'order.created');
		return reply.code(201).header('location', `/orders/${order.id}`).send(view(order));
	});

	app.get('/orders/:id', { schema: { params: byId } }, async ({ params, user }) => {
		const { rows: [order] } = await app.pool.query(
			'SELECT * FROM orders WHERE tenant = $1 AND user_id = $2 AND id = $3', [user.tenant, user.sub, params.id]);
		return view(found(order));
	});

	app.post('/orders/:id/reserve', { schema: { params: byId } }, change(['created'], async (client, order) => {
		await take(client, order.tenant, order.type, order.quantity);
		await transfer(client, { tenant: order.tenant, from: `buyer:${order.user_id}`, to: 'sales', amount: Number(order.total), effect: `order:${order.id}:paid` });
		return { ...order, state: 'reserved' };
	}));

	app.post('/orders/:id/cancel', { schema: { params: byId } }, change(['created', 'reserved'], async (client, order) => {
		if (order.state === 'reserved') {
			await giveBack(client, order.tenant, order.type, order.quantity);
			await refund(client, order, order.total - order.refunded);
		}
		return { ...order, refunded: order.state === 'reserved' ? order.total : order.refunded, state: 'cancelled' };
	}));

	app.post('/orders/:id/refund', { schema: { params: byId } }, change(['reserved'], async (client, order) => {
		await giveBack(client, order.tenant, order.type, order.quantity);
		await refund(client, order, order.total - order.refunded);
		return { ...order, refunded: order.total, state: 'refunded' };
	}));

	const part = { type: 'object', required: ['amount'], properties: { amount } };
	app.post('/orders/:id/partial-refund', { schema: { params: byId, body: part } }, change(['reserved'], async (client, order, { body }) => {
		if (order.refunded + body.amount > order.total) {
			throw new Refusal(409, 'refund_too_large', 'no more can be refunded than was paid');
		}
		await refund(client, order, body.amount);
		return { ...order, refunded: order.refunded + body.amount };
	}));

	const modification = { type: 'object', required: ['quantity'], properties: { quantity: line.properties.quantity } };
	app.patch('/orders/:id', { schema: { params: byId, body: modification } }, change(['created'], async (client, order, { body }) => {
		const price = order.total / order.quantity;
		return { ...order, quantity: body.quantity, total: price * body.quantity };
	}));

	const target = { type: 'object', required: ['type'], properties: { type: line.properties.type } };
	app.post('/orders/:id/upgrade', { schema: { params: byId, body: target } }, change(['reserved'], async (client, order, { body }) => {
		const { price } = await take(client, order.tenant, body.type, order.quantity);
		await giveBack(client, order.tenant, order.type, order.quantity);
		const total = price * order.quantity;
		if (total <= order.total) {
			throw new Refusal(409, 'no_upgrade', 'the other type costs no more');
		}
		await transfer(client, {
			tenant: order.tenant, from: `buyer:${order.user_id}`, to: 'sales', amount: total - order.total,
			effect: `order:${order.id}:upgrade:${total}`,
		});
		return { ...order, type: body.type, total };
	}));
}

/**
 * A handler that changes an order of the user's which is in one of the states.
 *
 * @param {string[]} states
 * @param {(client: import('pg').ClientBase, order: object, request: import('fastify').FastifyRequest) => Promise<object>} work  gives the order as it is to be
 */
function change(states, work) {
	return async (request) => {
		const { client } = request.idempotency;
		const { tenant, sub } = request.user;
		const { rows: [order] } = await client.query(
			'SELECT * FROM orders WHERE tenant = $1 AND user_id = $2 AND id = $3 FOR UPDATE', [tenant, sub, request.params.id]);
		if (!states.includes(found(order).state)) {
			throw new Refusal(409, 'wrong_state', `the order is ${order.state}`);
		}
		const changed = await work(client, numbers(order), request);
		const { rows: [saved] } = await client.query(
			`UPDATE orders SET type = $3, quantity = $4, total = $5, refunded = $6, state = $7 WHERE tenant = $1 AND id = $2
			RETURNING *`, [tenant, changed.id, changed.type, changed.quantity, changed.total, changed.refunded, changed.state]);
		await note(request, saved, `order.${request.routeOptions.url.split('/')[3] ?? 'modified'}`);
		return view(saved);
	};
}

async function refund(client, { tenant, id, user_id, refunded }, amount) {
	if (amount > 0) {
		await transfer(client, { tenant, from: 'sales', to: `buyer:${user_id}`, amount, effect: `order:${id}:refund:${refunded}` });
	}
}

async function note({ idempotency: { client, claim: { key } }, user: { tenant } }, order, type) {
	await emit(client, { tenant, aggregate: `order:${order.id}`, type, payload: view(order), idempotencyKey: key });
}

function found(order) {
	if (!order) {
		throw new Refusal(404, 'no_such_order', 'you have no such order');
	}
	return order;
}

/** A bigint comes as text; cents of one order fit a number. */
function numbers(order) {
	return { ...order, total: Number(order.total), refunded: Number(order.refunded) };
}

function view(order) {
	const { id, type, quantity, total, refunded, state } = numbers(order);
	return { id, type, quantity, total, refunded, state };
}
