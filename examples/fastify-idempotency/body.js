import { buffer } from 'node:stream/consumers';

/**
 * The answer's body as it is sent, in one piece: what isn't stored can't be
 * replayed.  What can't be sent is refused here, before anything is stored.
 *
 * @param {import('fastify').FastifyReply} reply
 * @param {unknown} payload
 * @returns {Promise<string | Buffer | null>}
 */
export async function bodyOf(reply, payload) {
	const body = isResponse(payload) ? unwrap(reply, payload) : payload ?? null;
	if (typeof body?.pipe === 'function' || typeof body?.getReader === 'function') {
		return buffer(body);
	}
	if (body !== null && typeof body !== 'string' && !Buffer.isBuffer(body)) {
		throw new TypeError(`an answer can't be sent as ${typeof body}`);
	}
	return body;
}

function isResponse(payload) {
	return Object.prototype.toString.call(payload) === '[object Response]';
}

/** Status and headers of a Response of fetch, which Fastify itself takes over only later. */
function unwrap(reply, { status, headers, body }) {
	reply.code(status);
	for (const [name, value] of headers) {
		reply.header(name, value);
	}
	return body;
}
