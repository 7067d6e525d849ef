import pg from 'pg';
import Stripe from 'stripe';

/** What the environment says; PGHOST, PGPORT and PGDATABASE are read by pg itself. */
const {
	JWT_SECRET,
	STRIPE_KEY,
	STRIPE_URL = 'https://api.stripe.com',
	STRIPE_TIMEOUT = '20000',
	STRIPE_WEBHOOK_SECRET,
	STRIPE_CONNECT_WEBHOOK_SECRET,
	CHAIN_URL,
	CHAIN_KEY,
	CHAIN_CONTRACT,
	CHAIN_TIMEOUT = '30000',
	PORT = '3000',
	LOG_LEVEL = 'info',
} = process.env;

export const port = Number(PORT);
export const logLevel = LOG_LEVEL;
export const jwtSecret = JWT_SECRET;
export const webhookSecrets = { stripe: STRIPE_WEBHOOK_SECRET, connect: STRIPE_CONNECT_WEBHOOK_SECRET };

/**
 * A request holds one connection while it runs.  Without a connection in two
 * seconds it is refused: it did not happen, and the client may try again.
 *
 * @param {string} role  which of schema/roles.sql
 */
export function connect(role, max = 20) {
	const pool = new pg.Pool({ user: role, max, connectionTimeoutMillis: 2000 });
	pool.on('error', () => {});		// an idle connection that broke is replaced
	return pool;
}

/** Retrying is the client's business, with its key; the library does it only where a connection broke, with the same key. */
export function connectStripe() {
	const { protocol, hostname, port } = new URL(STRIPE_URL);
	return new Stripe(STRIPE_KEY, {
		protocol: protocol.slice(0, -1),
		host: hostname,
		port: port || undefined,
		maxNetworkRetries: 0,
		timeout: Number(STRIPE_TIMEOUT),
		telemetry: false,
	});
}

/** Where there is a chain: its library is large, and only then loaded. */
export async function connectChain() {
	if (!CHAIN_URL) {
		return undefined;
	}
	const { openChain } = await import('./chain.js');
	return openChain({ url: CHAIN_URL, privateKey: CHAIN_KEY, contract: CHAIN_CONTRACT, timeout: Number(CHAIN_TIMEOUT) });
}
