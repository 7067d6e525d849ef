import { buffer } from 'node:stream/consumers';
import fp from 'fastify-plugin';
import { keyOf } from './key.js';
import { Problem } from './problem.js';
import { protocol } from './protocol.js';
import { Work } from './work.js';

const METHODS = new Set(['POST', 'PUT', 'PATCH', 'DELETE']);

const STORED_HEADERS = ['content-type', 'content-language', 'content-disposition', 'location', 'etag', 'last-modified', 'link'];

/**
 * @typedef {object} RouteOptions  of a route, in `config.idempotency`, or of all, given to the plugin
 * @property {string} [scope]  in which keys are told apart; default: method and path of the route
 * @property {string} [ttl]  how long the answer is kept, an interval; default: the database's settings
 * @property {string} [lease]  commits the claim before the handler runs and protects it so long: for handlers that call out
 * @property {string} [wait]  how long a duplicate waits for the first to finish
 * @property {(request: import('fastify').FastifyRequest) => unknown} [fingerprint]  what makes a retry the same request; default: parameters, query and body
 *
 * @param {import('fastify').FastifyInstance} fastify
 * @param {RouteOptions & {
 *   pool: import('pg').Pool,
 *   tenant: (request: import('fastify').FastifyRequest) => string,
 *   user?: (request: import('fastify').FastifyRequest) => string | undefined,
 *   schema?: string,
 *   headers?: string[],
 * }} options  tenant and user come from the authenticated request; headers are those of an answer that are stored
 */
async function idempotency(fastify, { pool, tenant, user, schema = 'public', headers = STORED_HEADERS, ...defaults }) {
	const functions = protocol(schema);
	let retention;

	fastify.decorateRequest('idempotency', null);

	fastify.addHook('preHandler', async (request, reply) => {
		const route = request.routeOptions.config.idempotency;
		if (route === false || request.is404 || !METHODS.has(request.method)) {
			return;
		}
		try {
			return await claim(request, reply, { ...defaults, ...route });
		} catch (error) {
			return reply.send(await refuse(request, reply, error));
		}
	});

	fastify.addHook('onSend', async (request, reply, payload) => {
		exposeHeaders(reply);
		if (!request.idempotency || request.idempotency.finished) {
			return payload;
		}
		try {
			const body = await bytesOf(payload);
			await request.idempotency.finish({ status: reply.statusCode, headers: storedHeaders(reply), body });
			return body;
		} catch (error) {
			return refuse(request, reply, error);
		}
	});

	async function claim(request, reply, { scope, ttl, lease, wait, fingerprint = fingerprintOf }) {
		const work = new Work(functions, pool, {
			tenant: tenant(request),
			key: keyOf(request),
			scope: scopeOf(scope ?? `${request.method} ${request.routeOptions.url}`, user?.(request)),
			request: fingerprint(request), ttl, lease, wait,
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
			return replay(reply, answer);
		}
		throw new Problem(outcome, DETAILS[outcome], { retryAfter: answer.retry_after ?? undefined });
	}

	/** Answers with a problem; the retention is told where it explains the answer, if the database can tell. */
	async function refuse(request, reply, problem) {
		if (!(problem instanceof Problem)) {
			throw problem;
		}
		request.log[problem.statusCode < 500 ? 'info' : 'error']({ err: problem.cause ?? problem }, `idempotency: ${problem.code}`);
		retention ??= problem.statusCode < 500 ? await functions.retention(pool).catch(() => undefined) : undefined;
		for (const name of Object.keys(reply.getHeaders())) {
			if (headers.includes(name) || name === 'content-length') {
				reply.removeHeader(name);
			}
		}
		return problem.writeTo(reply, retention);
	}

	function storedHeaders(reply) {
		return Object.fromEntries(Object.entries(reply.getHeaders()).filter(([name]) => headers.includes(name)));
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

/** Routes contain no "by", users come last: no two pairs give one scope. */
function scopeOf(scope, user) {
	return user ? `${scope} by ${user}` : scope;
}

function replay(reply, { response_status, response_headers, response_body, response_bytes }) {
	const body = response_bytes ?? (response_body === null ? undefined : Buffer.from(response_body));
	return reply.code(response_status).headers(response_headers ?? {}).header('idempotent-replayed', 'true').send(body);
}

/** The answer as it is sent: streams are read, since what isn't stored can't be replayed. */
async function bytesOf(payload) {
	const isStream = typeof payload?.pipe === 'function' || typeof payload?.getReader === 'function';
	return isStream ? buffer(payload) : payload ?? null;
}

/** A browser may send the key and read the marks of a replay, wherever CORS lets it in. */
function exposeHeaders(reply) {
	if (!reply.hasHeader('access-control-allow-origin')) {
		return;
	}
	for (const [list, name] of [
		['access-control-expose-headers', 'Idempotent-Replayed, Retry-After'],
		['access-control-allow-headers', 'Idempotency-Key'],
	]) {
		const names = reply.getHeader(list);
		if (list.includes('expose') || names) {
			reply.header(list, names ? `${names}, ${name}` : name);
		}
	}
}

/** A hijacked reply never gets to onSend: its answer can't be stored, its connection must not leak. */
function abandonIfHijacked(work, request, reply) {
	reply.raw.once('close', () => {
		if (reply.sent && !work.finished) {
			request.log.error('idempotency: the reply was hijacked, the request is not protected');
			work.abandon();
		}
	});
}

export default fp(idempotency, { name: 'fastify-idempotency', fastify: '5.x' });
