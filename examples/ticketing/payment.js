import { Refusal } from './errors.js';
import { emit } from './events.js';
import { transfer } from './ledger.js';

/**
 * What becomes of a payment, whoever learns of it first: the request that made
 * it or an event of the provider's.  Each change is made once, in whichever
 * order they come; the caller has locked the payment.
 *
 * @typedef {{tenant: string, id: number, user_id: string, amount: number, state: string, refunded: number, promised: number}} Payment
 */

/**
 * @param {import('pg').Pool} pool
 * @param {{tenant: string, sub: string}} user
 * @returns {Promise<Payment>}
 */
export async function readPayment(pool, user, id) {
	const { rows: [row] } = await pool.query('SELECT * FROM payments WHERE tenant = $1 AND user_id = $2 AND id = $3', [user.tenant, user.sub, id]);
	return found(row);
}

/** The same, and nobody else changes it until the transaction ends. */
export async function lockPayment(client, user, id) {
	const { rows: [row] } = await client.query(
		'SELECT * FROM payments WHERE tenant = $1 AND user_id = $2 AND id = $3 FOR UPDATE', [user.tenant, user.sub, id]);
	return found(row);
}

/**
 * The payment that an object of the provider's is about, locked: it bears the
 * name that the provider gave it or, if we haven't heard that yet, ours.
 *
 * @param {object} object  a payment intent or a charge
 */
export async function lockPaymentOf(client, tenant, object) {
	const { rows: [row] } = await client.query(
		`SELECT * FROM payments WHERE tenant = $1 AND (provider_id = $2 OR provider_id IS NULL AND id = $3)
		ORDER BY provider_id LIMIT 1 FOR UPDATE`, [tenant, object.payment_intent ?? object.id, object.metadata?.payment]);
	if (!row || Number(row.amount) !== object.amount) {
		throw new Error(`no payment of ours is ${object.id} over ${object.amount}`);
	}
	return numbers(row);
}

/** The money has come. */
export async function succeed(client, payment, providerId, cause) {
	if (payment.state === 'succeeded') {
		return payment;
	}
	const { tenant, id, amount } = payment;
	await transfer(client, { tenant, from: buyer(payment), to: 'sales', amount, effect: `payment:${id}` });
	return change(client, payment, { state: 'succeeded', failure: null, provider_id: providerId }, 'succeeded', cause);
}

/**
 * It will not come.  That is said to no avail once it has.
 *
 * @param {{status: number, code: string, detail: string}} failure
 */
export async function fail(client, payment, failure, cause) {
	return payment.state === 'pending' ? change(client, payment, { state: 'failed', failure }, 'failed', cause) : payment;
}

/**
 * So much has gone back in all.
 *
 * @param {number} total  in cents
 */
export async function giveBackUpTo(client, payment, total, cause) {
	const { tenant, id, refunded } = payment;
	if (total <= refunded) {
		return payment;
	}
	await transfer(client, { tenant, from: 'sales', to: buyer(payment), amount: total - refunded, effect: `payment:${id}:refunded:${total}` });
	return change(client, payment, { refunded: total }, 'refunded', cause);
}

/** The platform's part of it: 2.9 percent and 30 cents, but never more than it. */
export async function takeFee(client, payment, cause) {
	const { tenant, id, amount } = payment;
	const fee = Math.min(amount, Math.round(amount * 29 / 1000) + 30);
	await transfer(client, { tenant, from: 'sales', to: 'fees', amount: fee, effect: `payment:${id}:fee` });
	return change(client, payment, { fee }, 'fee', cause);
}

async function change(client, { tenant, id }, columns, type, cause) {
	const names = Object.keys(columns);
	const { rows: [row] } = await client.query(
		`UPDATE payments SET ${names.map((name, n) => `${name} = $${n + 3}`)} WHERE tenant = $1 AND id = $2 RETURNING *`,
		[tenant, id, ...Object.values(columns)]);
	const changed = numbers(row);
	await emit(client, { tenant, aggregate: `payment:${id}`, type: `payment.${type}`, payload: view(changed), idempotencyKey: cause });
	return changed;
}

/** A payment as clients see it. */
export function view({ id, amount, state, refunded, fee }) {
	return { id, amount, state, refunded, fee };
}

function buyer({ user_id }) {
	return `buyer:${user_id}`;
}

function found(row) {
	if (!row) {
		throw new Refusal(404, 'no_such_payment', 'you have no such payment');
	}
	return numbers(row);
}

/** A bigint comes as text; cents of one payment fit a number. */
function numbers(row) {
	const { amount, refunded, promised, fee } = row;
	return { ...row, amount: Number(amount), refunded: Number(refunded), promised: Number(promised), fee: fee === null ? null : Number(fee) };
}
