import { subscribe } from 'node:diagnostics_channel';
import { Work } from './work.js';

// Work whose reply never gets to onSend is given up: its connection must not leak.

/**
 * Where the handler has hijacked the reply its answer can't be stored.
 *
 * @param {Work} work
 * @param {import('fastify').FastifyRequest} request
 * @param {import('fastify').FastifyReply} reply
 */
export function abandonIfHijacked(work, request, reply) {
	reply.raw.once('close', () => {
		if (reply.sent && !work.finished) {
			request.log.error('idempotency: the reply was hijacked, the request is not protected');
			work.abandon();
		}
	});
}

/**
 * Where an async handler has returned nothing Fastify answers, but not if the
 * client is gone: then nothing is sent at all.
 */
subscribe('tracing:fastify.request.handler:asyncEnd', ({ request }) => {
	const work = request.idempotency;
	if (work instanceof Work) {
		setImmediate(() => {
			if (work.answer === undefined && (request.raw.aborted || request.socket.destroyed)) {
				work.abandon();
			}
		});
	}
});
