import fp from 'fastify-plugin';
import { bodyOf } from './body.js';
import { exposeHeaders } from './cors.js';
import { keyOf } from './key.js';
import { Problem } from './problem.js';
import { protocol } from './protocol.js';
import { abandonIfHijacked } from './unanswered.js';
import { Work } from './work.js';

const METHODS = new Set(['POST', 'PUT', 'PATCH', 'DELETE']);

const STORED_HEADERS = ['content-type', 'content-encoding', 'content-language', 'content-disposition', 'location', 'etag', 'last-modified', 'link'];

/**
 * @param {import('fastify').FastifyInstance} fastify
 * @param {import('./index.d.ts').Options} options
 */
async function idempotency(fastify, { pool, tenant, user, schema = 'public', headers = STORED_HEADERS, ...defaults }) {
	const functions = protocol(schema);
	const stored = new Set(headers.map((name) => name.toLowerCase()));
	const answered = new WeakSet();
	let retention;

	fastify.decorateRequest('idempotency', null);

	// not async: a promise would be kept, and the handler run, also when a client leaves before its replay is sent
	fastify.addHook('preHandler', (request, reply, next) => {
		if (request.routeOptions.config.idempotency === false || request.is404 || !METHODS.has(request.method)) {
			return next();
		}
		claim(request, reply, optionsOf(request))
			.then((answer) => {
				if (answered.has(request)) {
					// by a timeout, while the claim was waiting
					request.idempotency?.abandon();
				} else if (answer) {
					replay(reply, answer);
				} else {
					next();
				}
			})
			.catch(async (error) => reply.send(await refuse(request, reply, error)))
			.catch(next);
	});

	fastify.addHook('onSend', async (request, reply, payload) => {
		exposeHeaders(reply);
		answered.add(request);
		const work = request.idempotency;
		if (!work || (work.answer === 'given' && reply.statusCode >= 500)) {
			return payload;
		}
		if (work.answer === 'under way') {
			// the first answer counts; what is sent while it is being stored goes nowhere
			return new Promise(() => {});
		}
		try {
			if (work.answer === 'given') {
				throw new Problem('unavailable', 'the request was answered twice, try again');
			}
			work.answer = 'under way';
			const body = await store(work, reply, payload);
			work.answer = 'given';
			return body;
		} catch (error) {
			work.answer = error instanceof Problem ? 'given' : undefined;
			return refuse(request, reply, error);
		}
	});

	/** The answer to replay, or nothing if the work is the handler's. */
	async function claim(request, reply, { scope, ttl, lease, wait, fingerprint = fingerprintOf }) {
		const work = new Work(functions, pool, {
			tenant: textOf(await tenant(request), 'tenant'),
			key: keyOf(request),
			scope: scopeOf(scope ?? `${request.method} ${request.routeOptions.url}`, textOf(await user?.(request), 'user')),
			request: JSON.stringify(await fingerprint(request)), ttl, lease, wait,
		});
		const answer = await work.start();
		const { outcome, attempt } = answer;
		request.log.info({ idempotency: { outcome, attempt, key: work.claim.key, scope: work.claim.scope } }, `idempotency: ${outcome}`);
		if (work.token) {
			request.idempotency = work;
			abandonIfHijacked(work, request, reply);
			return undefined;
		}
		if (outcome === 'replay') {
			return answer;
		}
		throw new Problem(outcome, DETAILS[outcome], { retryAfter: answer.retry_after ?? undefined });
	}

	/** Stores the answer as it is now, and sends it as it was stored: a handler that was given up may go on, and must not change it. */
	async function store(work, reply, payload) {
		const reading = bodyOf(reply, payload);
		const { statusCode } = reply;
		const all = reply.getHeaders();
		const body = await reading;
		await work.finish({ status: statusCode, headers: storedOf(all), body });
		replaceHeaders(reply, all).code(statusCode);
		return body;
	}

	/** Answers with a problem; the retention is told where it explains the answer, if the database can tell. */
	async function refuse(request, reply, problem) {
		if (!(problem instanceof Problem)) {
			throw problem;
		}
		request.log[problem.statusCode < 500 ? 'info' : 'error']({ err: problem.cause ?? problem }, `idempotency: ${problem.code}`);
		for (const name of Object.keys(reply.getHeaders())) {
			if (stored.has(name) || name === 'content-length') {
				reply.removeHeader(name);
			}
		}
		return problem.writeTo(reply, problem.statusCode < 500 ? await retentionOf(request) : undefined);
	}

	async function retentionOf(request) {
		retention ??= await functions.retention(pool).catch(() => undefined);
		const { ttl, lease } = optionsOf(request);
		return retention && {
			processing: lease ?? retention.processing,
			success: ttl ?? retention.success,
			client_error: ttl ?? retention.client_error,
		};
	}

	function optionsOf(request) {
		return { ...defaults, ...request.routeOptions.config.idempotency };
	}

	function storedOf(all) {
		return Object.fromEntries(Object.entries(all).filter(([name]) => stored.has(name)));
	}
}

const DETAILS = {
	in_progress: 'the first request with this key is still being worked on',
	mismatch: 'this key was used for another request',
	gone: 'this key has expired; its answer is no longer known',
};

function fingerprintOf({ params, query, body }) {
	return { params, query, body: Buffer.isBuffer(body) ? body.toString('base64') : body };
}

/** An object would give all of them one name. */
function textOf(value, name) {
	if (typeof value === 'object' && value !== null) {
		throw new TypeError(`fastify-idempotency: ${name} must give a string, not an object`);
	}
	return value;
}

/** Routes contain no "by", users come last: no two pairs give one scope. */
function scopeOf(scope, user) {
	return user !== undefined && user !== null ? `${scope} by ${user}` : scope;
}

function replay(reply, { response_status, response_headers, response_body, response_bytes }) {
	const body = response_bytes ?? (response_body === null ? undefined : Buffer.from(response_body));
	return reply.code(response_status).headers(response_headers ?? {}).header('idempotent-replayed', 'true').send(body);
}

function replaceHeaders(reply, headers) {
	for (const name of Object.keys(reply.getHeaders())) {
		reply.removeHeader(name);
	}
	return reply.headers(headers);
}

export default fp(idempotency, { name: 'fastify-idempotency', fastify: '5.x' });
