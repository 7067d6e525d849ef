/**
 * Receives the provider's events: the signature first, then the inbox, then
 * 200 at once.  What an event means is the worker's business.
 *
 * @param {import('fastify').FastifyInstance} app
 * @param {{pool: import('pg').Pool, stripe: import('stripe').Stripe, secrets: Record<string, string>}} options
 */
export default async function webhooks(app, { pool, stripe, secrets }) {
	// the signature is over the bytes
	app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, body, done) => done(null, body));

	for (const [source, secret] of Object.entries(secrets)) {
		app.post(`/webhooks/${source}`, async (request, reply) => {
			const event = verified(request, secret);
			if (!event) {
				return reply.code(400).send({ code: 'signature_invalid', detail: 'the signature is not the provider\'s' });
			}
			const { rows: [{ outcome }] } = await pool.query(
				`SELECT outcome FROM webhook_inbox_record($1, $2, $3, $4::jsonb, event_type => $5, stream => $6, sequence => $7)`,
				[tenantOf(event), source, event.id, request.body.toString(), event.type, streamOf(event), event.created]);
			request.log.info({ source, event: event.id, outcome }, `webhook: ${outcome}`);
			return { received: true, duplicate: outcome === 'duplicate' };
		});
	}

	function verified(request, secret) {
		try {
			return stripe.webhooks.constructEvent(request.body, request.headers['stripe-signature'] ?? '', secret);
		} catch {
			return undefined;
		}
	}
}

/** Our own note on what we made at the provider, or the connected account; both are under its signature. */
function tenantOf({ data: { object }, account }) {
	return object.metadata?.tenant ?? account ?? 'platform';
}

/** Events about one payment, or one account, come in their order. */
function streamOf({ data: { object } }) {
	return object.payment_intent ?? object.id;
}
