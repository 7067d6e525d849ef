import { once } from 'node:events';
import { createServer } from 'node:http';
import { text } from 'node:stream/consumers';
import Stripe from 'stripe';

const { webhooks } = new Stripe('sk_test_audit');

/** What a POST to a path makes. */
const MAKERS = {
	'/v1/payment_intents': (id, { amount, currency, metadata }) => ({
		id: `pi_${id}`, object: 'payment_intent', status: 'succeeded', amount: Number(amount), currency, metadata,
	}),
	'/v1/refunds': (id, { amount, payment_intent, metadata }) => ({
		id: `re_${id}`, object: 'refund', status: 'succeeded', amount: Number(amount), payment_intent, metadata,
	}),
	'/v1/accounts': (id, { email, metadata }) => ({ id: `acct_${id}`, object: 'account', email, metadata }),
};

/**
 * Stands in for Stripe, which can't be had offline: it makes what it is asked
 * for once for each key, as documented, and can be told to fail.  The library
 * that talks to it, and that signs and verifies events, is Stripe's own.
 *
 * @param {{stripe: string, connect: string}} secrets  of the webhooks, by source
 */
export async function startStripe(secrets) {
	/** @type {{path: string, key: string, params: object, object: object}[]} what was really made, in order */
	const made = [];
	/** @type {{path: string, key: string, replayed: boolean}[]} */
	const requests = [];
	const answers = new Map();
	const failures = [];
	let count = 0;
	let gate = Promise.resolve();

	const server = createServer(async (request, response) => {
		const path = request.url;
		const key = request.headers['idempotency-key'];
		const params = parse(await text(request));
		const failure = failures.shift();
		const known = key && answers.get(key);
		requests.push({ path, key, params, replayed: Boolean(known) });
		await gate;
		if (failure === 'error') {
			return answer(response, 500, failed('api_error', 'something went wrong'));
		}
		if (known && known.signature !== signatureOf(path, params)) {
			return answer(response, 400, failed('idempotency_error', 'this key was used with other parameters'));
		}
		if (known) {
			return answer(response, known.status, known.body, { 'idempotent-replayed': 'true' });
		}
		const done = failure === 'decline'
			? { status: 402, body: failed('card_error', 'your card was declined', 'card_declined') }
			: failure === 'refuse'
				? { status: 400, body: failed('invalid_request_error', 'no such thing') }
				: make(path, key, params);
		if (key) {
			answers.set(key, { ...done, signature: signatureOf(path, params) });
		}
		return failure === 'lost' ? request.socket.destroy() : answer(response, done.status, done.body);
	});

	function make(path, key, params) {
		const object = MAKERS[path]?.(++count, params);
		if (!object) {
			return { status: 404, body: failed('invalid_request_error', `unrecognized request URL ${path}`) };
		}
		made.push({ path, key, params, object });
		return { status: 200, body: object };
	}

	server.listen(0, '127.0.0.1');
	await once(server, 'listening');
	return {
		url: `http://127.0.0.1:${server.address().port}`,
		made, requests,

		/**
		 * How the next calls fail: 'error' is a 500 with nothing done, 'lost' cuts
		 * the connection after it was done, 'decline' a 402, 'refuse' a 400.
		 *
		 * @param {...('error' | 'lost' | 'decline' | 'refuse')} how
		 */
		fail(...how) {
			failures.push(...how);
		},

		/** Calls wait from now on until the function that is returned is called. */
		hold() {
			let release;
			gate = new Promise((resolve) => { release = resolve; });
			return release;
		},

		/**
		 * Delivers an event, signed as Stripe signs.
		 *
		 * @param {{url: string}} app
		 * @param {'stripe' | 'connect'} source
		 * @param {object} event  id, type, created, data
		 * @param {{secret?: string, timestamp?: number}} [how]
		 */
		async deliver(app, source, event, { secret = secrets[source], timestamp } = {}) {
			const payload = JSON.stringify({ object: 'event', ...event });
			const response = await fetch(`${app.url}/webhooks/${source}`, {
				method: 'POST',
				headers: {
					'content-type': 'application/json',
					'stripe-signature': webhooks.generateTestHeaderString({ payload, secret, timestamp }),
				},
				body: payload,
			});
			return { status: response.status, body: await response.json() };
		},

		async close() {
			server.closeAllConnections();
			server.close();
		},
	};
}

function answer(response, status, body, headers = {}) {
	response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));
}

function failed(type, message, code) {
	return { error: { type, message, code } };
}

function signatureOf(path, params) {
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
