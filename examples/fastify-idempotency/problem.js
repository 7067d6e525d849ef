import { STATUS_CODES } from 'node:http';

/** What is sent instead of the handler's answer, by its code. */
const STATUS = {
	key_missing: 400,
	key_invalid: 400,
	request_invalid: 400,
	forbidden: 403,
	in_progress: 409,
	claim_lost: 409,
	gone: 410,
	mismatch: 422,
	failed: 500,
	unavailable: 503,
};

/** The SQLSTATEs of the extension, and those that mean "not now". */
const CODE = {
	IK001: 'key_missing',
	IK002: 'key_invalid',
	IK003: 'request_invalid',
	IK004: 'claim_lost',
	IK005: 'claim_lost',
	42501: 'forbidden',
	'22P02': 'request_invalid',
	'22P05': 'request_invalid',
	25006: 'unavailable',
	'25P03': 'unavailable',
	'25P04': 'unavailable',
	'55P03': 'unavailable',
};

/** Connection, login, database, transaction rollback, resources, intervention, system: whole classes of SQLSTATEs. */
const UNAVAILABLE = new Set(['08', '28', '3D', '40', '53', '57', '58']);

/** An answer of the plugin's own, which is never stored. */
export class Problem extends Error {
	/**
	 * @param {keyof STATUS} code
	 * @param {string} detail  for people
	 * @param {{retryAfter?: number, cause?: unknown}} [options]
	 */
	constructor(code, detail, { retryAfter, cause } = {}) {
		super(detail, { cause });
		this.code = code;
		this.statusCode = STATUS[code];
		this.retryAfter = retryAfter ?? ([409, 503].includes(this.statusCode) ? 1 : undefined);
	}

	/** The problem that an error of the database, or of the way to it, is to the client. */
	static of(error) {
		if (error instanceof Problem) {
			return error;
		}
		// what the server says has a severity; without, it is the way there, and codes like EPIPE
		if (!error.severity || UNAVAILABLE.has(error.code.slice(0, 2))) {
			return new Problem('unavailable', 'the request was not carried out, try again', { cause: error });
		}
		const code = CODE[error.code] ?? 'failed';
		const detail = code === 'failed' ? 'the request could not be carried out' : sentence(error);
		return new Problem(code, detail, { cause: error });
	}

	/** Sets the status and the headers, and returns the body (RFC 9457): as bytes, which no serializer touches. */
	writeTo(reply, retention) {
		reply.code(this.statusCode).type('application/problem+json');
		if (this.retryAfter !== undefined) {
			reply.header('retry-after', this.retryAfter);
		}
		return Buffer.from(JSON.stringify({
			type: 'about:blank',
			title: STATUS_CODES[this.statusCode],
			status: this.statusCode,
			code: `idempotency_${this.code}`,
			detail: this.message,
			retry_after: this.retryAfter,
			retention,
		}));
	}
}

function sentence({ message, detail, hint }) {
	return [message, detail, hint].filter(Boolean).join('. ').replaceAll('..', '.');
}
