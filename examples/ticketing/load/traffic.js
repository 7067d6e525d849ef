import { randomUUID } from 'node:crypto';
import autocannon from 'autocannon';

/** So many of the requests that are sent were sent before, and were answered or are still under way. */
const REPEATED = 0.2;

/** Of how many of the last requests repetitions are drawn. */
const RECENT = 100;

/**
 * What the clients want, each thing once, however often they ask for it; and
 * what they are told.
 */
export class Traffic {
	/** @type {Request[]} */
	requests = [];
	#reservable = [];
	#makers;

	/** @param {number[]} types  of tickets that can be bought */
	constructor(types) {
		const some = () => ({ type: types[random(types.length)], quantity: 1 + random(3) });
		this.#makers = [
			() => ({ path: '/tickets/purchase', body: some() }),
			() => ({ path: '/payments/process', body: { amount: 100 + random(10_000), method: 'pm_card_visa' } }),
			() => this.#reserve() ?? { path: '/orders', body: some() },
		];
	}

	/** The next request to be sent: a new one, or one that somebody has sent before. */
	next() {
		const again = Math.random() < REPEATED ? this.requests.at(-1 - random(RECENT)) : undefined;
		const request = again ?? this.#make();
		request.sent++;
		return request;
	}

	/** Notes an answer. */
	answered(request, answer) {
		request.answers.push(answer);
		if (request.path === '/orders' && answer.status === 201 && request.answers.filter(isFinal).length === 1) {
			this.#reservable.push(JSON.parse(answer.text).id);
		}
	}

	#make() {
		const request = new Request(this.#makers[random(this.#makers.length)]());
		this.requests.push(request);
		return request;
	}

	#reserve() {
		const order = this.#reservable.pop();
		return order && { path: `/orders/${order}/reserve`, body: {} };
	}
}

class Request {
	key = randomUUID();
	sent = 0;
	/** @type {{status: number, text: string, replayed: boolean}[]} */
	answers = [];

	constructor({ path, body }) {
		this.path = path;
		this.body = body;
	}

	/** What its client knows in the end. */
	get answer() {
		return this.answers.find(isFinal);
	}
}

/** Whether it is the request's own answer, and not "not now". */
export function isFinal({ status, text }) {
	return status < 500 && ![408, 425, 429].includes(status) && !/"idempotency_(in_progress|claim_lost)"/.test(text);
}

/**
 * Lets ten clients of one process of the application send what the traffic has.
 *
 * @param {{url: string}} app
 * @param {Traffic} traffic
 * @param {{authorization: string, seconds: number}} options
 */
export function load(app, traffic, { authorization, seconds }) {
	return autocannon({
		url: app.url,
		connections: 10,
		duration: seconds,
		timeout: 60,
		requests: [{
			setupRequest(settings, context) {
				context.request = traffic.next();
				const { path, body, key } = context.request;
				return {
					...settings, method: 'POST', path, body: JSON.stringify(body),
					headers: { authorization, 'content-type': 'application/json', 'idempotency-key': key },
				};
			},
			onResponse(status, text, { request }, headers) {
				const replayed = Object.keys(headers).some((name) => name.toLowerCase() === 'idempotent-replayed');
				traffic.answered(request, { status, text, replayed });
			},
		}],
	});
}

function random(below) {
	return Math.floor(Math.random() * below);
}
