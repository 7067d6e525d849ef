import assert from 'node:assert/strict';
import { clientOf } from './client.js';
import { eventId } from './inbox.js';

/**
 * Payments to be about, and what Stripe knows and tells of them.
 *
 * @param {Awaited<ReturnType<import('./world.js').startWorld>>} world
 */
export function moneyOf({ apps: [app], stripe, sql }) {
	/** A payment that somebody has made, and Stripe's object of it. */
	function paid(who) {
		return made(who, '/payments/process', card(5000));
	}

	/** A payment that somebody has yet to make. */
	function intended(who) {
		return made(who, '/payments/intents', { amount: 7000 });
	}

	async function made(who, path, body) {
		const { status, body: payment } = await clientOf(app, who).post(path, body);
		assert.equal(status, 201);
		return { payment, intent: intentOf(who.tenant, payment.id) };
	}

	function intentOf(tenant, id) {
		return stripe.made.map(({ object }) => object).find(({ object, metadata }) => (
			object === 'payment_intent' && metadata.tenant === tenant && metadata.payment === String(id)));
	}

	/** What is noted about the payment or the refund that Stripe was called for. */
	async function notedFor({ params: { metadata: { tenant, payment, refund } } }) {
		const { rows: [row] } = await sql.query(`SELECT * FROM ${refund ? 'refunds' : 'payments'} WHERE tenant = $1 AND id = $2`, [tenant, refund ?? payment]);
		return row;
	}

	/** Somebody refunds a payment without us, as on Stripe's own pages. */
	async function giveBackWithoutUs({ id, metadata }, amount) {
		const body = new URLSearchParams({ amount, payment_intent: id, 'metadata[tenant]': metadata.tenant, 'metadata[payment]': metadata.payment });
		assert.equal((await fetch(`${stripe.url}/v1/refunds`, { method: 'POST', body })).status, 200);
	}

	/**
	 * Does something while Stripe has done what a request asks for, and has not
	 * answered yet.
	 *
	 * @param {() => Promise<object>} send  the request
	 * @param {(call: {key: string, params: object}) => Promise<unknown>} work
	 * @returns {Promise<object>} what the request is answered
	 */
	async function whileCalling(send, work) {
		const { sent } = await stripe.whileCalled(send, work);
		return sent;
	}

	/** Each payment is in the ledger what Stripe has really taken for it, less what it has really given back. */
	async function isBooked() {
		const taken = {};
		for (const { object: { object, status, amount, metadata: { tenant, payment } } } of stripe.made) {
			const sum = object === 'refund' ? -amount : status === 'succeeded' ? amount : 0;
			taken[`${tenant} ${payment}`] = (taken[`${tenant} ${payment}`] ?? 0) + sum;
		}
		const { rows } = await sql.query(
			`SELECT concat_ws(' ', tenant, substring(reference FROM '^payment:([0-9]+)')) AS payment, -sum(amount)::int AS sum
			FROM ledger WHERE account LIKE 'buyer:%' GROUP BY 1`);
		assert.deepEqual(withMoney(rows.map(({ payment, sum }) => [payment, sum])), withMoney(Object.entries(taken)));
	}

	return { paid, intended, notedFor, giveBackWithoutUs, whileCalling, isBooked };
}

export function card(amount) {
	return { amount, method: 'pm_card_visa' };
}

/** Stripe's clock, in seconds: events come in this order. */
let clock = 1_700_000_000;

/** An event of Stripe's about an object of its own. */
export function eventOf(type, object, created = ++clock) {
	return { id: eventId(), type, created, data: { object } };
}

/** Has somebody pay what a payment intent is about, and tells of it. */
export function settled(intent) {
	intent.status = 'succeeded';
	return eventOf('payment_intent.succeeded', intent);
}

/** Tells how much of a payment has been refunded in all. */
export function refunded(intent, total) {
	return eventOf('charge.refunded', {
		id: intent.id.replace('pi_', 'ch_'), object: 'charge', amount: intent.amount, amount_refunded: total,
		payment_intent: intent.id, metadata: intent.metadata,
	});
}

function withMoney(sums) {
	return Object.fromEntries(sums.filter(([, sum]) => sum !== 0));
}
