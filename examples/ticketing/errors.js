import { STATUS_CODES } from 'node:http';

/** A request that the business refuses: a status and a code for programs. */
export class Refusal extends Error {
	/**
	 * @param {number} statusCode
	 * @param {string} code  for programs
	 * @param {string} detail  for people
	 */
	constructor(statusCode, code, detail) {
		super(detail);
		this.statusCode = statusCode;
		this.code = code;
	}
}

/** Something that is needed can't be reached: whether the request was carried out, its retry will find out. */
export class Outage extends Error {
	statusCode = 503;
}

/** Something takes longer than a request can wait for it: what becomes of it, its retry will find out. */
export class Pending extends Error {
	statusCode = 504;
	code = 'pending';
}

/** Errors go out as problem documents (RFC 9457), those of the server without their details. */
export function answerErrors(app) {
	app.setErrorHandler((error, request, reply) => {
		const status = error.statusCode ?? (isOutage(error) ? 503 : 500);
		request.log[status < 500 ? 'info' : 'error']({ err: error }, error.message);
		const isTold = status < 500 || error instanceof Pending;
		reply.code(status).type('application/problem+json');
		if (status === 503 || status === 504) {
			reply.header('retry-after', 1);
		}
		return JSON.stringify({
			type: 'about:blank',
			title: STATUS_CODES[status],
			status,
			code: isTold ? error.code : 'internal_error',
			detail: isTold ? error.message : 'the request failed, try again with the same key',
		});
	});
}

/** The database was lost, or had transactions in each other's way. */
function isOutage({ code, message, syscall }) {
	return /^(08|40|53|57|58)...$/.test(code) || /^ECONN|^EPIPE$/.test(code) || syscall === 'connect' || /\bconnect|client was closed/i.test(message);
}
