import { Refusal } from '../errors.js';
import { deterministic } from '../keys.js';
import { fail, giveBackUpTo, lockPayment, lockPaymentOf, readPayment, succeed, takeFee, view } from '../payment.js';
import { ask, expectRemembered, refusalOf } from '../provider.js';
import { doSteps } from '../steps.js';
import { inTransaction } from '../transaction.js';
import refunds from './refunds.js';

const id = { type: 'integer', minimum: 1, maximum: 2 ** 31 - 1 };
const amount = { type: 'integer', minimum: 50, maximum: 99_999_999 };
const method = { type: 'string', pattern: '^pm_[A-Za-z0-9_]{1,100}$' };

/**
 * The payment service.  What calls the provider is two transactions around the
 * call; the first notes the payment, and under which key it is asked for.
 *
 * @param {import('fastify').FastifyInstance} app
 */
export default async function payments(app) {
	app.register(refunds);

	const config = { idempotency: { lease: '30min' } };
	const charge = { type: 'object', required: ['amount', 'method'], properties: { amount, method } };
	app.post('/payments/process', { config, schema: { body: charge } }, pay(({ method }) => (
		{ payment_method: method, confirm: true, error_on_requires_action: true })));

	const intent = { type: 'object', required: ['amount'], properties: { amount } };
	app.post('/payments/intents', { config, schema: { body: intent } }, pay(() => ({})));

	const whole = { type: 'object', required: ['payment'], properties: { payment: id } };
	app.post('/payments/fees', { schema: { body: whole } }, async ({ idempotency: { client, claim }, user, body }, reply) => {
		const payment = await lockPayment(client, user, body.payment);
		if (payment.state !== 'succeeded' || payment.fee !== null) {
			throw new Refusal(409, 'wrong_state', payment.fee === null ? `the payment is ${payment.state}` : 'the fee is booked already');
		}
		return reply.code(201).send(view(await takeFee(client, payment, claim.key)));
	});

	app.get('/payments/:id', { schema: { params: { type: 'object', properties: { id } } } }, async ({ params, user }) => (
		view(await readPayment(app.pool, user, params.id))));
}

/**
 * A handler that asks the provider for a payment.
 *
 * @param {(body: object) => object} termsOf  what it asks for besides the amount
 */
function pay(termsOf) {
	return async function (request, reply) {
		const { pool, stripe } = this;
		const { idempotency, user, body } = request;
		const { key } = idempotency.claim;
		const { payment: id, providerKey: idempotencyKey } = await doSteps(pool, idempotency, { charging: (client) => note(client, request) });
		const { state, failure, created_at: since } = await readPayment(pool, user, id);
		if (state === 'failed') {
			throw refusalOf(failure);
		}
		if (state === 'pending') {
			expectRemembered(since);
		}

		// an event may have told already what became of it
		const intent = state === 'pending' ? await ask(
			() => stripe.paymentIntents.create(
				{ amount: body.amount, currency: 'usd', metadata: { tenant: user.tenant, payment: id }, ...termsOf(body) },
				{ idempotencyKey }),
			(refusal) => inTransaction(pool, async (client) => fail(client, await lockPayment(client, user, id), refusal, key)),
		) : undefined;

		const client = await idempotency.begin();
		const payment = await learn(client, await lockPayment(client, user, id), intent, key);
		return reply.code(201).header('location', `/payments/${id}`).send({ ...view(payment), secret: intent?.client_secret });
	};
}

/**
 * The payment as it is noted before the call, with the recovery point.  What a
 * request that has none finds is of its key before that expired, and must not
 * be paid anew.
 */
async function note(client, { idempotency: { claim: { key } }, user: { tenant, sub }, body, routeOptions }) {
	const providerKey = deterministic(tenant, sub, key, routeOptions.url);
	const { rows: [made] } = await client.query(
		`INSERT INTO payments (tenant, user_id, amount, provider_key, idempotency_key) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (tenant, provider_key) DO NOTHING RETURNING id`, [tenant, sub, body.amount, providerKey, key]);
	if (!made) {
		throw new Refusal(409, 'key_spent', 'this key was used for a payment before');
	}
	return { payment: made.id, providerKey };
}

async function learn(client, payment, intent, cause) {
	if (intent?.status === 'succeeded') {
		return succeed(client, payment, intent.id, cause);
	}
	if (intent) {
		await client.query('UPDATE payments SET provider_id = $3 WHERE tenant = $1 AND id = $2', [payment.tenant, payment.id, intent.id]);
	}
	return payment;
}

/** What the provider's events do; all others need nothing done. */
const EFFECTS = new Map([
	['payment_intent.succeeded', (client, payment, { id }, cause) => succeed(client, payment, id, cause)],
	['payment_intent.payment_failed', (client, payment, { last_payment_error: error }, cause) => (
		fail(client, payment, { status: 402, code: error?.code ?? 'payment_failed', detail: error?.message ?? 'the payment failed' }, cause))],
	['charge.refunded', async (client, payment, { payment_intent, amount_refunded }, cause) => (
		giveBackUpTo(client, await succeed(client, payment, payment_intent, cause), amount_refunded, cause))],
]);

/**
 * Does what an event says.  One that doesn't fit what was asked for is an
 * error, for people to look at.
 *
 * @param {import('pg').ClientBase} client
 * @param {{tenant_id: string, event_id: string, event_type: string, payload: {data: {object: object}}}} event
 */
export async function paymentEvent(client, { tenant_id: tenant, event_id, event_type, payload: { data: { object } } }) {
	const effect = EFFECTS.get(event_type);
	if (effect) {
		await effect(client, await lockPaymentOf(client, tenant, object), object, event_id);
	}
}
