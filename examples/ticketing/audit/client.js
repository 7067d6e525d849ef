import { randomUUID } from 'node:crypto';
import { createSigner } from 'fast-jwt';
import { SECRETS } from './world.js';

const sign = createSigner({ key: SECRETS.jwt });

/**
 * A client of the application: somebody of a tenant.
 *
 * @param {{url: string}} app
 * @param {{tenant?: string, sub?: string}} [who]
 */
export function clientOf(app, { tenant = 'acme', sub = 'ann' } = {}) {
	const authorization = `Bearer ${sign({ tenant, sub })}`;

	/** @returns {Promise<{status: number, headers: Headers, text: string, body: any}>} */
	async function send(method, path, { body, text = body && JSON.stringify(body), key, headers = {} } = {}) {
		const response = await fetch(app.url + path, {
			method,
			headers: {
				authorization,
				...(text === undefined ? {} : { 'content-type': 'application/json' }),
				...(key === undefined ? {} : { 'idempotency-key': key }),
				...headers,
			},
			body: text,
			signal: AbortSignal.timeout(30_000),
		});
		const answer = await response.text();
		const isJson = /json/.test(response.headers.get('content-type'));
		return { status: response.status, headers: response.headers, text: answer, body: isJson ? JSON.parse(answer) : undefined };
	}

	return {
		send, authorization,
		get: (path) => send('GET', path),
		post: (path, body, key = randomUUID()) => send('POST', path, { body, key }),
		put: (path, body, key = randomUUID()) => send('PUT', path, { body, key }),
		patch: (path, body, key = randomUUID()) => send('PATCH', path, { body, key }),
	};
}
