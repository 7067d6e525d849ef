/**
 * A browser may send the key and read the marks of a replay, wherever CORS lets it in.
 *
 * @param {import('fastify').FastifyReply} reply
 */
export function exposeHeaders(reply) {
	if (!reply.hasHeader('access-control-allow-origin')) {
		return;
	}
	append(reply, 'access-control-expose-headers', ['Idempotent-Replayed', 'Retry-After']);
	// only the answer to a preflight has it
	if (reply.hasHeader('access-control-allow-headers')) {
		append(reply, 'access-control-allow-headers', ['Idempotency-Key']);
	}
}

function append(reply, list, names) {
	const present = String(reply.getHeader(list) ?? '').split(',').map((name) => name.trim()).filter(Boolean);
	const missing = names.filter((name) => !present.some((other) => other.toLowerCase() === name.toLowerCase()));
	reply.header(list, [...present, ...missing].join(', '));
}
