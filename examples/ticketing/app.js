import cors from '@fastify/cors';
import jwt from '@fastify/jwt';
import Fastify from 'fastify';
import idempotency from 'fastify-idempotency';
import { answerErrors } from './errors.js';
import blockchain from './services/blockchain.js';
import orders from './services/orders.js';
import payments from './services/payments.js';
import tickets from './services/tickets.js';
import venues from './services/venues.js';
import webhooks from './webhooks.js';

/**
 * The application: authentication, then idempotency, then metering, then the
 * services, for every route in this order.
 *
 * @param {object} parts
 * @param {import('pg').Pool} parts.pool
 * @param {import('stripe').Stripe} parts.stripe
 * @param {import('./chain.js').Chain} parts.chain
 * @param {string} parts.jwtSecret
 * @param {{stripe: string, connect: string}} parts.webhookSecrets
 * @param {string} [parts.logLevel]
 */
export function build({ pool, stripe, chain, jwtSecret, webhookSecrets, logLevel = 'info' }) {
	const app = Fastify({ logger: { level: logLevel } });
	answerErrors(app);
	app.register(webhooks, { pool, stripe, secrets: webhookSecrets });
	app.register(async (services) => {
		services.register(cors, { origin: true, allowedHeaders: ['Authorization', 'Content-Type'] });
		services.register(jwt, { secret: jwtSecret, verify: { requiredClaims: ['tenant', 'sub'] } });
		services.addHook('onRequest', (request) => request.jwtVerify());
		services.register(idempotency, {
			pool,
			tenant: (request) => request.user.tenant,
			user: (request) => request.user.sub,
		});
		services.addHook('preHandler', meter);
		services.decorate('pool', pool);
		services.decorate('stripe', stripe);
		services.decorate('chain', chain);
		for (const service of [orders, tickets, payments, venues, blockchain]) {
			services.register(service);
		}
	});
	return app;

	/**
	 * Counts the requests that are carried out, and so not their retries: in the
	 * transaction of the work, or where that is none when they come first.
	 */
	async function meter({ idempotency, user }) {
		if (idempotency?.client || idempotency?.attempt === 1) {
			await (idempotency.client ?? pool).query(
				`INSERT INTO usage (tenant, user_id, requests) VALUES ($1, $2, 1)
				ON CONFLICT (tenant, user_id) DO UPDATE SET requests = usage.requests + 1`, [user.tenant, user.sub]);
		}
	}
}
