import { Refusal } from '../errors.js';
import { deterministic } from '../keys.js';
import { giveBackUpTo, lockPayment } from '../payment.js';
import { ask, expectRemembered, refusalOf } from '../provider.js';
import { doSteps } from '../steps.js';
import { inTransaction } from '../transaction.js';

const body = {
	type: 'object',
	required: ['payment', 'amount'],
	properties: {
		payment: { type: 'integer', minimum: 1, maximum: 2 ** 31 - 1 },
		amount: { type: 'integer', minimum: 1, maximum: 99_999_999 },
	},
};

/**
 * Refunds of payments, as two transactions around the provider's call.  The
 * first promises the amount out of what was paid, so that all refunds together
 * never exceed it, however many are under way.
 *
 * @param {import('fastify').FastifyInstance} app
 */
export default async function refunds(app) {
	const { pool, stripe } = app;

	app.post('/payments/refunds', { config: { idempotency: { lease: '30min' } }, schema: { body } }, async (request, reply) => {
		const { idempotency, user } = request;
		const { refund: id, providerKey: idempotencyKey } = await doSteps(pool, idempotency, { refunding: (client) => promise(client, request) });
		const refund = await read(pool, user, id);
		const { payment, amount } = refund;
		if (refund.state === 'failed') {
			throw refusalOf(refund.failure);
		}
		expectRemembered(refund.created_at);

		const { id: providerId } = await ask(
			() => stripe.refunds.create(
				{ payment_intent: refund.payment_provider_id, amount: Number(amount), metadata: { tenant: user.tenant, payment, refund: id } },
				{ idempotencyKey }),
			(refusal) => inTransaction(pool, async (client) => withdraw(client, await lockPayment(client, user, payment), refund, refusal)));

		const client = await idempotency.begin();
		await keep(client, await lockPayment(client, user, payment), { ...refund, provider_id: providerId });
		return reply.code(201).send({ id, payment, amount: Number(amount), state: 'succeeded' });
	});
}

/**
 * Promises a refund, with the recovery point.  What a request that has none
 * finds is of its key before that expired, and must not be paid back anew.
 */
async function promise(client, { idempotency: { claim: { key } }, user, body: { payment: id, amount }, routeOptions }) {
	const { tenant, sub } = user;
	const providerKey = deterministic(tenant, sub, key, routeOptions.url);
	const { state, amount: paid, promised, refunded } = await lockPayment(client, user, id);
	const { rowCount } = await client.query('SELECT FROM refunds WHERE tenant = $1 AND provider_key = $2', [tenant, providerKey]);
	if (rowCount) {
		throw new Refusal(409, 'key_spent', 'this key was used for a refund before');
	}
	if (state !== 'succeeded') {
		throw new Refusal(409, 'wrong_state', `the payment is ${state}`);
	}
	if (Math.max(promised, refunded) + amount > paid) {
		throw new Refusal(409, 'refund_too_large', 'no more can be refunded than was paid');
	}
	await client.query('UPDATE payments SET promised = promised + $3 WHERE tenant = $1 AND id = $2', [tenant, id, amount]);
	const { rows: [{ id: refund }] } = await client.query(
		`INSERT INTO refunds (tenant, payment, amount, provider_key, idempotency_key) VALUES ($1, $2, $3, $4, $5)
		RETURNING id`, [tenant, id, amount, providerKey, key]);
	return { refund, providerKey };
}

async function read(pool, { tenant }, id) {
	const { rows: [refund] } = await pool.query(
		`SELECT r.*, p.provider_id AS payment_provider_id FROM refunds r JOIN payments p ON (p.tenant, p.id) = (r.tenant, r.payment)
		WHERE r.tenant = $1 AND r.id = $2`, [tenant, id]);
	return refund;
}

/** The provider has made it. Its event may have come first, and told of others, too. */
async function keep(client, payment, { tenant, id, provider_id, idempotency_key }) {
	await client.query(`UPDATE refunds SET state = 'succeeded', provider_id = $3 WHERE tenant = $1 AND id = $2`, [tenant, id, provider_id]);
	const { rows: [{ total }] } = await client.query(
		`SELECT sum(amount) AS total FROM refunds WHERE tenant = $1 AND payment = $2 AND state = 'succeeded'`, [tenant, payment.id]);
	await giveBackUpTo(client, payment, Number(total), idempotency_key);
}

/** The provider won't make it. */
async function withdraw(client, { tenant, id: payment }, { id, amount }, failure) {
	const { rowCount } = await client.query(
		`UPDATE refunds SET state = 'failed', failure = $3 WHERE tenant = $1 AND id = $2 AND state = 'pending'`, [tenant, id, failure]);
	await client.query('UPDATE payments SET promised = promised - $3 WHERE tenant = $1 AND id = $2', [tenant, payment, rowCount * amount]);
}
