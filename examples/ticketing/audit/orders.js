import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { clientOf } from './client.js';
import { ANN } from './protection.js';
import { leavesOne, sells } from './seats.js';
import { assertSound } from './state.js';

/**
 * Orders to be about, and what becomes of them.
 *
 * @param {Awaited<ReturnType<import('./world.js').startWorld>>} world
 */
export function ordersOf(world) {
	const { apps: [app], sql } = world;

	/** @type {Record<string, import('./protection.js').Prepare>} each route that changes something */
	const trials = {
		create: async ({ tenant }) => {
			const type = await sells(world, tenant);
			return { path: '/orders', body: { type, quantity: 2 }, another: { body: { type, quantity: 3 } } };
		},
		reserve: (who) => about(who, '/reserve', ordered),
		cancel: (who) => about(who, '/cancel', reserved),
		refund: (who) => about(who, '/refund', reserved),
		partialRefund: async (who) => ({
			path: `/orders/${await reserved(who)}/partial-refund`, body: { amount: 1000 }, another: { body: { amount: 1001 } },
		}),
		modify: async (who) => ({
			method: 'PATCH', path: `/orders/${await ordered(who)}`, body: { quantity: 5 }, another: { body: { quantity: 6 } },
		}),
		upgrade: async (who) => ({
			...await about(who, '/upgrade', reserved), body: { type: await sells(world, who.tenant, { price: 9000 }) },
		}),
	};

	/** Two orders of somebody's, to do the same to. */
	async function about(who, route, make) {
		return { path: `/orders/${await make(who)}${route}`, another: { path: `/orders/${await make(who)}${route}` } };
	}

	/** An order of two tickets. */
	async function ordered(who) {
		const { body } = await clientOf(app, who).post('/orders', { type: await sells(world, who.tenant), quantity: 2 });
		return body.id;
	}

	/** The same, paid. */
	async function reserved(who) {
		const id = await ordered(who);
		const { status } = await clientOf(app, who).post(`/orders/${id}/reserve`);
		assert.equal(status, 200);
		return id;
	}

	/** An order that can't be reserved before others have given their tickets back. */
	async function soldOut(who) {
		const id = await ordered(who);
		const { rows: [{ type }] } = await sql.query('SELECT type FROM orders WHERE id = $1', [id]);
		return { path: `/orders/${id}/reserve`, mend: await leavesOne(world, type) };
	}

	/** An order that can't be refunded before it is paid. */
	async function unpaid(who) {
		const id = await ordered(who);
		return { path: `/orders/${id}/refund`, mend: () => clientOf(app, who).post(`/orders/${id}/reserve`) };
	}

	/** An order to which all happens that can happen to one, and the keys of the requests. */
	async function lived() {
		const ann = clientOf(app, ANN);
		const keys = Array.from({ length: 6 }, () => randomUUID());
		const { body: { id } } = await ann.post('/orders', { type: await sells(world, ANN.tenant), quantity: 1 }, keys[0]);
		const answers = [
			await ann.patch(`/orders/${id}`, { quantity: 2 }, keys[1]),
			await ann.post(`/orders/${id}/reserve`, undefined, keys[2]),
			await ann.post(`/orders/${id}/upgrade`, { type: await sells(world, ANN.tenant, { price: 9000 }) }, keys[3]),
			await ann.post(`/orders/${id}/partial-refund`, { amount: 500 }, keys[4]),
			await ann.post(`/orders/${id}/cancel`, undefined, keys[5]),
		];
		assert.deepEqual(answers.map(({ status }) => status), [200, 200, 200, 200, 200]);
		return { id, keys };
	}

	/** What was noted of an order of Ann's, in order. */
	async function eventsOf(id) {
		const { rows } = await sql.query('SELECT * FROM events WHERE tenant = $1 AND aggregate = $2 ORDER BY sequence', [ANN.tenant, `order:${id}`]);
		return rows;
	}

	/** What work has had Ann pay, in cents, and how many tickets are left after it, more or less than before. */
	async function moved(work) {
		const before = await look();
		await work();
		const after = await look();
		await assertSound(world);
		return { paid: after.paid - before.paid, left: after.left - before.left };
	}

	async function look() {
		const { rows: [now] } = await sql.query(`SELECT
			(SELECT coalesce(-sum(amount), 0)::int FROM ledger WHERE tenant = $1 AND account = $2) AS paid,
			(SELECT coalesce(sum(available - capacity), 0)::int FROM ticket_types) AS left`, [ANN.tenant, `buyer:${ANN.sub}`]);
		return now;
	}

	return { trials, ordered, reserved, soldOut, unpaid, lived, eventsOf, moved };
}
