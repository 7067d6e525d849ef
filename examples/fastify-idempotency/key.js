import { parseItem } from 'structured-headers';
import { Problem } from './problem.js';

/**
 * The key that the client sent: a quoted string as in the IETF draft, or bare
 * as most clients send it.  Its form and length are the database's to judge.
 *
 * @param {import('fastify').FastifyRequest} request
 * @returns {string}
 */
export function keyOf(request) {
	const value = request.headers['idempotency-key']?.trim();
	if (!value) {
		throw new Problem('key_missing', 'this request needs the header Idempotency-Key');
	}
	return value.startsWith('"') ? quoted(value) : bare(value);
}

function quoted(value) {
	try {
		return parseItem(value)[0];
	} catch {
		throw new Problem('key_invalid', 'the header Idempotency-Key is not a string of RFC 9651, or was sent more than once');
	}
}

/** A header that was sent twice comes as one, with a comma. */
function bare(value) {
	if (/[\s",]/.test(value)) {
		throw new Problem('key_invalid', 'the header Idempotency-Key has spaces, quotes or commas inside, or was sent more than once');
	}
	return value;
}
