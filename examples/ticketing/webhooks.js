import { Refusal } from './errors.js';

/**
 * Receives the provider's events: the signature first, then the inbox, then
 * 200 at once.  What an event means is the worker's business.  Whatever can't
 * be recorded now the provider delivers again, since it isn't answered 200.
 *
 * @param {import('fastify').FastifyInstance} app
 * @param {{pool: import('pg').Pool, stripe: import('stripe').Stripe, secrets: Record<string, string>}} options
 */
export default async function webhooks(app, { pool, stripe, secrets }) {
	// the signature is over the bytes
	app.removeAllContentTypeParsers();
	app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, body, done) => done(null, body));

	for (const [source, secret] of Object.entries(secrets)) {
		app.post(`/webhooks/${source}`, async (request) => {
			const event = read(request, secret);
			const outcome = await record(source, event, request.body.toString());
			request.log.info({ source, event: event.id, outcome }, `webhook: ${outcome}`);
			return { received: true, duplicate: outcome === 'duplicate' };
		});
	}

	function read({ headers, body }, secret) {
		try {
			stripe.webhooks.signature.verifyHeader(body, headers['stripe-signature'], secret);
		} catch (error) {
			throw new Refusal(400, 'signature_invalid', 'the signature is not the provider\'s');
		}
		const event = parsed(body);
		if (!event?.data?.object) {
			throw new Refusal(400, 'event_invalid', 'this is no event');
		}
		return event;
	}

	async function record(source, event, payload) {
		try {
			const { rows: [{ outcome }] } = await pool.query(
				'SELECT outcome FROM webhook_inbox_record($1, $2, $3, $4::jsonb, event_type => $5, stream => $6, sequence => $7)',
				[tenantOf(event), source, event.id, payload, event.type, streamOf(event), event.created]);
			return outcome;
		} catch (error) {
			// names that the inbox can't have, text that no database holds
			throw /^(IK|22)/.test(error.code) ? new Refusal(400, 'event_invalid', error.message) : error;
		}
	}
}

function parsed(body) {
	try {
		return JSON.parse(body);
	} catch {
		return undefined;
	}
}

/**
 * Whose event it is.  What we make at the provider bears our note of the
 * tenant; what is made within a connected account may bear any, and only the
 * account is certain.
 */
function tenantOf({ data: { object }, account }) {
	const ours = !account || object.object === 'account';
	return (ours && object.metadata?.tenant) || account || 'platform';
}

/** Events about one payment, or one account, come in their order. */
function streamOf({ data: { object }, account }) {
	return object.payment_intent ?? account ?? object.id;
}
