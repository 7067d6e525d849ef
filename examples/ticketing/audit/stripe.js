import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { text } from 'node:stream/consumers';
import Stripe from 'stripe';
import { until } from './until.js';

const { webhooks } = new Stripe('sk_test_audit');

/** A payment method that is declined, as Stripe's own for tests. */
const DECLINED = 'pm_card_chargeDeclined';

/**
 * What a POST to a path is answered.
 *
 * @type {Record<string, (id: number, params: object, made: {object: object}[]) => {status: number, body: object}>}
 */
const ENDPOINTS = {
	'/v1/payment_intents': (id, { amount, currency, metadata, confirm, payment_method }) => (payment_method === DECLINED ? FAILURES.decline() : success({
		id: `pi_${id}`, object: 'payment_intent', status: confirm === 'true' ? 'succeeded' : 'requires_payment_method',
		amount: Number(amount), currency, metadata, client_secret: `pi_${id}_secret`,
	})),
	'/v1/refunds': (id, { amount, payment_intent, metadata }, made) => {
		const intent = made.find(({ object }) => object.id === payment_intent)?.object;
		const refunded = made.reduce((sum, { object }) => sum + (object.payment_intent === payment_intent ? object.amount : 0), 0);
		return !(refunded + Number(amount) <= intent?.amount) ? FAILURES.refuse() : success({
			id: `re_${id}`, object: 'refund', status: 'succeeded', amount: Number(amount), payment_intent, metadata,
		});
	},
	'/v1/accounts': (id, { email, metadata }) => success({ id: `acct_${id}`, object: 'account', email, metadata }),
};

/** How a call can be made to fail, by name. */
const FAILURES = {
	decline: () => failure(402, 'card_error', 'your card was declined', 'card_declined'),
	refuse: () => failure(400, 'invalid_request_error', 'this can not be done', 'resource_missing'),
	busy: () => failure(429, 'invalid_request_error', 'too many requests', 'rate_limit'),
	error: () => failure(500, 'api_error', 'something went wrong'),
};

/**
 * Stands in for Stripe, which can't be had offline: it makes what it is asked
 * for once for each key, as documented, and can be told to fail.  The library
 * that talks to it, and that signs and verifies events, is Stripe's own.
 *
 * As documented, a key gets the status and body of its first request again,
 * also if that was a 402 or, halfway, a 500; not if the request was refused
 * before anything was done (400, 404, 429, or a 500 of that kind).  Other
 * parameters under the key are an idempotency_error, and while the first
 * request is at work another one with the key is a 409.
 *
 * @param {{stripe: string, connect: string}} secrets  of the webhooks, by source
 */
export async function startStripe(secrets) {
	/** @type {{path: string, key: string, params: object, object: object}[]} what was really made, in order */
	const made = [];
	/** @type {{path: string, key: string, params: object, replayed: boolean}[]} */
	const requests = [];
	/** @type {Map<string, {signature: string, status?: number, body?: object}>} by key; without a status while it is at work */
	const answers = new Map();
	const failures = [];
	let count = 0;
	let gate = Promise.resolve();

	const server = createServer((request, response) => {
		// a request that was cut off while it came was never made
		serve(request, response).catch(() => response.destroy());
	});

	async function serve(request, response) {
		const call = { path: request.url, key: request.headers['idempotency-key'] ?? randomUUID(), params: parse(await text(request)) };
		const known = answers.get(call.key);
		requests.push({ ...call, replayed: known?.status !== undefined });
		if (known) {
			const { status, body } = again(known, call);
			return answer(response, status, body, { 'idempotent-replayed': String(body === known.body) });
		}
		const how = failures.shift();
		const signature = signatureOf(call);
		answers.set(call.key, { signature });
		const { status, body } = carryOut(call, how);
		await gate;
		if (isKept(status, how)) {
			answers.set(call.key, { signature, status, body });
		} else {
			answers.delete(call.key);
		}
		return how === 'lost' ? request.socket.destroy() : answer(response, status, body);
	}

	function again(known, call) {
		if (known.signature !== signatureOf(call)) {
			return failure(400, 'idempotency_error', 'this key was used with other parameters');
		}
		return known.status ? known : failure(409, 'invalid_request_error', 'another request with this key is in progress', 'idempotency_key_in_use');
	}

	function carryOut({ path, key, params }, how) {
		if (FAILURES[how]) {
			return FAILURES[how]();
		}
		const done = ENDPOINTS[path]?.(++count, params, made) ?? failure(404, 'invalid_request_error', `unrecognized request URL ${path}`);
		if (done.status === 200) {
			made.push({ path, key, params, object: done.body });
		}
		return how === 'broken' ? FAILURES.error() : done;
	}

	server.listen(0, '127.0.0.1');
	await once(server, 'listening');
	return {
		url: `http://127.0.0.1:${server.address().port}`,
		made, requests,

		/**
		 * How the next calls fail that aren't answered from their keys: 'error' is a
		 * 500 and 'busy' a 429 with nothing done, 'broken' a 500 after it was done,
		 * 'lost' cuts the connection after it was done, 'decline' is a 402 and
		 * 'refuse' a 400.
		 *
		 * @param {...('error' | 'busy' | 'broken' | 'lost' | 'decline' | 'refuse')} how
		 */
		fail(...how) {
			failures.push(...how);
		},

		/** Of keys it knows nothing any more, as after a day. */
		forgetKeys() {
			answers.clear();
		},

		/**
		 * Does something while the call that a request makes is carried out, and not
		 * answered yet.
		 *
		 * @param {() => Promise<object>} send  the request
		 * @param {(call: {path: string, key: string, params: object}) => Promise<unknown>} work
		 * @returns {Promise<{sent: Promise<object>}>} the request, which goes on then
		 */
		async whileCalled(send, work) {
			const before = requests.length;
			let release;
			gate = new Promise((resolve) => { release = resolve; });
			const sent = send().catch((error) => error);
			try {
				await until('Stripe is called', () => requests.length > before);
				await work(requests[before]);
			} finally {
				release();
			}
			return { sent };
		},

		/**
		 * Delivers an event, signed as Stripe signs.
		 *
		 * @param {{url: string}} app
		 * @param {'stripe' | 'connect'} source
		 * @param {object} event  id, type, created, data
		 * @param {{secret?: string, timestamp?: number}} [how]
		 */
		async deliver(app, source, event, how) {
			return this.deliverText(app, source, JSON.stringify({ object: 'event', ...event }), how);
		},

		/** The same of what need not be an event, or not JSON, or not signed so. */
		async deliverText(app, source, payload, { secret = secrets[source], timestamp, signature = sign(payload, secret, timestamp) } = {}) {
			const response = await fetch(`${app.url}/webhooks/${source}`, {
				method: 'POST', headers: { 'content-type': 'application/json', 'stripe-signature': signature }, body: payload,
				signal: AbortSignal.timeout(30_000),
			});
			return { status: response.status, body: await response.json() };
		},

		async close() {
			server.closeAllConnections();
			server.close();
		},
	};
}

/** The header with which Stripe signs. */
export function sign(payload, secret, timestamp) {
	return webhooks.generateTestHeaderString({ payload, secret, timestamp });
}

function answer(response, status, body, headers = {}) {
	response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));
}

function success(body) {
	return { status: 200, body };
}

function failure(status, type, message, code) {
	return { status, body: { error: { type, message, code } } };
}

/** A 500 halfway is an answer; one before anything was done is not. */
function isKept(status, how) {
	return status < 300 || status === 402 || how === 'broken';
}

function signatureOf({ path, params }) {
	return JSON.stringify([path, params]);
}

/** Stripe's forms: a[b]=c is an object in an object. */
function parse(form) {
	const params = {};
	for (const [name, value] of new URLSearchParams(form)) {
		const [, outer, inner] = name.match(/^([^[]*)(?:\[(.*)\])?$/);
		if (inner) {
			(params[outer] ??= {})[inner] = value;
		} else {
			params[outer] = value;
		}
	}
	return params;
}
