import { Refusal } from '../errors.js';
import { emit } from '../events.js';
import { deterministic } from '../keys.js';
import { ask } from '../provider.js';

const properties = {
	name: { type: 'string', minLength: 1, maxLength: 200 },
	address: { type: 'string', minLength: 1, maxLength: 500 },
	capacity: { type: 'integer', minimum: 1, maximum: 1_000_000 },
	email: { type: 'string', minLength: 3, maxLength: 254, pattern: '@' },
};
const part = { type: 'object', additionalProperties: false, properties };
const whole = { ...part, required: Object.keys(properties) };
const params = { type: 'object', properties: { id: { type: 'integer', minimum: 1, maximum: 2 ** 31 - 1 } } };

/**
 * The venue service: venues are the tenant's, and are paid through accounts of
 * their own at Stripe.
 *
 * @param {import('fastify').FastifyInstance} app
 */
export default async function venues(app) {
	app.post('/venues', { schema: { body: whole } }, async (request, reply) => {
		const { client, claim: { key } } = request.idempotency;
		const { name, address, capacity, email } = request.body;
		const { rows: [venue] } = await client.query(
			`INSERT INTO venues (tenant, name, address, capacity, email, idempotency_key)
			VALUES ($1, $2, $3, $4, $5, $6) RETURNING *`, [request.user.tenant, name, address, capacity, email, key]);
		await note(request, client, venue, 'venue.created');
		return reply.code(201).header('location', `/venues/${venue.id}`).send(view(venue));
	});

	app.get('/venues/:id', { schema: { params } }, async (request) => view(await find(app.pool, request)));
	app.put('/venues/:id', { schema: { params, body: whole } }, change);
	app.patch('/venues/:id', { schema: { params, body: part } }, change);

	app.post('/venues/:id/stripe-account', {
		schema: { params },
		config: { idempotency: { lease: '5min' } },
	}, async (request, reply) => {
		const { idempotency } = request;
		const venue = await find(app.pool, request);
		if (venue.stripe_account) {
			return view(venue);
		}
		if (!idempotency.recoveryPoint) {
			const key = deterministic(venue.tenant, 'venue', venue.id, 'stripe-account');
			await idempotency.checkpoint('creating', { key });
		}
		if (idempotency.recoveryPoint === 'creating') {
			const { key } = idempotency.recoveryData;
			await idempotency.checkpoint('created', { key, account: await createAccount(app.stripe, venue, key) });
		}
		const saved = await saveAccount(request, await idempotency.begin(), venue);
		return reply.code(201).send(view(saved));
	});
}

/** Sets what the body names: with PUT all there is, with PATCH a part of it. */
async function change(request) {
	const { client } = request.idempotency;
	const changed = { ...await find(client, request, 'FOR UPDATE'), ...request.body };
	const { rows: [venue] } = await client.query(
		'UPDATE venues SET name = $3, address = $4, capacity = $5, email = $6 WHERE tenant = $1 AND id = $2 RETURNING *',
		[changed.tenant, changed.id, changed.name, changed.address, changed.capacity, changed.email]);
	await note(request, client, venue, 'venue.changed');
	return view(venue);
}

/** With nothing in it that may change: the same key has to ask for the same. */
async function createAccount(stripe, { tenant, id }, idempotencyKey) {
	const { id: account } = await ask(() => stripe.accounts.create(
		{ type: 'express', metadata: { tenant, venue: id } }, { idempotencyKey }));
	return account;
}

/** Another request may have been faster; Stripe has given both the same account. */
async function saveAccount(request, client, { tenant, id }) {
	const { account } = request.idempotency.recoveryData;
	const { rows: [venue] } = await client.query(
		'UPDATE venues SET stripe_account = $3 WHERE tenant = $1 AND id = $2 AND stripe_account IS NULL RETURNING *', [tenant, id, account]);
	if (!venue) {
		return find(client, request);
	}
	await note(request, client, venue, 'venue.account_created');
	return venue;
}

/**
 * What Stripe tells about a venue's account.  What is older than what is known
 * already says nothing any more; the venue remembers that, since not all of its
 * events are in one stream of the inbox, nor there for ever.
 *
 * @param {import('pg').ClientBase} client
 * @param {{event_type: string, payload: {account?: string, data: {object: object}}, sequence: string}} event
 */
export async function accountEvent(client, { event_type: type, payload, sequence }) {
	const enabled = CHARGES_ENABLED[type]?.(payload.data.object);
	if (enabled === undefined) {
		return;
	}
	const account = payload.account ?? payload.data.object.id;
	const { rows: [known] } = await client.query('SELECT told_at > $2 AS is_newer FROM venues WHERE stripe_account = $1 FOR UPDATE', [account, sequence]);
	if (!known) {
		throw new Error(`no venue has the account ${account}`);		// not yet: the event may be faster than our commit
	}
	if (known.is_newer) {
		return;
	}
	const { rows: [venue] } = await client.query(
		'UPDATE venues SET charges_enabled = $2, told_at = $3 WHERE stripe_account = $1 RETURNING *', [account, enabled, sequence]);
	await emit(client, { tenant: venue.tenant, aggregate: `venue:${venue.id}`, type: 'venue.account_changed', payload: view(venue) });
}

const CHARGES_ENABLED = {
	'account.updated': ({ charges_enabled }) => charges_enabled,
	'account.application.deauthorized': () => false,
};

async function find(db, { user: { tenant }, params: { id } }, lock = '') {
	const { rows: [venue] } = await db.query(`SELECT * FROM venues WHERE tenant = $1 AND id = $2 ${lock}`, [tenant, id]);
	if (!venue) {
		throw new Refusal(404, 'no_such_venue', 'you have no such venue');
	}
	return venue;
}

async function note({ idempotency: { claim: { key } } }, client, venue, type) {
	await emit(client, { tenant: venue.tenant, aggregate: `venue:${venue.id}`, type, payload: view(venue), idempotencyKey: key });
}

function view({ id, name, address, capacity, email, stripe_account, charges_enabled }) {
	return { id, name, address, capacity, email, stripe_account, charges_enabled };
}
