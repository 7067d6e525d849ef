import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { NAMESPACE } from '../keys.js';
import { checksOf } from './checks.js';
import { clientOf } from './client.js';
import { crowd } from './crowd.js';
import { eventId, inboxOf } from './inbox.js';
import { queryAs, rowOf, seconds } from './key.js';
import { later, withApp } from './later.js';
import { ANN, BOB, FOREIGN_ANN, assertProblem, assertReplay, protectionOf } from './protection.js';
import { changingRoutes, routeOf } from './routes.js';
import { doesNothing, effectsOf } from './state.js';
import { storeOf } from './store.js';
import { until } from './until.js';
import { startWorld } from './world.js';

const HALL = { name: 'Hall', address: '1 Main Street', capacity: 500, email: 'hall@example.com' };
const ARENA = { ...HALL, name: 'Arena', capacity: 9000 };

const { check, complete } = checksOf('venues');
const world = await startWorld();
const { sql, stripe, apps: [app, otherApp] } = world;
const ann = clientOf(app, ANN);

/** A request to each route that changes something. */
const trials = {
	create: async () => ({ path: '/venues', body: HALL, another: { body: ARENA } }),
	replace: async (who) => ({ method: 'PUT', path: `/venues/${await opened(who)}`, body: ARENA, another: { body: { ...ARENA, capacity: 8000 } } }),
	modify: async (who) => ({ method: 'PATCH', path: `/venues/${await opened(who)}`, body: { capacity: 600 }, another: { body: { capacity: 700 } } }),
	account: async (who) => ({ path: `/venues/${await opened(who)}/stripe-account`, another: { path: `/venues/${await opened(who)}/stripe-account` } }),
};
const routes = Object.fromEntries(Object.entries(trials).map(([name, prepare]) => [name, protectionOf(world, prepare)]));
const { create, replace, modify, account } = routes;
/** Those whose work is all in the database. */
const operations = [create, replace, modify];

const keys = storeOf(world, 'idempotency_keys');
const events = storeOf(world, 'webhook_inbox');
const inbox = inboxOf(world, 'connect', async () => updated(await connected(ANN)));

check('VP1', async () => {
	const [one, other] = [await opened(ANN), await opened(ANN)];
	stripe.fail('error');
	assertProblem(await account.send(accountOf(one), randomUUID()), 503, 'internal_error');
	await later(world, '25h', (to) => account.works(accountOf(one), randomUUID(), { to }));
	await account.works(accountOf(other), randomUUID(), { to: otherApp });
	assert.deepEqual(callsFor(one).map(({ key }) => key), Array(2).fill(await derivedKey('acme', one)));
	assert.deepEqual(callsFor(other).map(({ key }) => key), [await derivedKey('acme', other)]);
	assert.notEqual(callsFor(one)[0].key, callsFor(other)[0].key);
});

check('VP2', async () => {
	const venue = await opened(ANN);
	const key = randomUUID();
	const { sent } = await stripe.whileCalled(() => account.send(accountOf(venue), key), async (call) => {
		const { recovery_point, recovery_data, completed_at } = await rowOf(world, key);
		assert.deepEqual([recovery_point, recovery_data, completed_at], ['creating', { key: call.key }, null]);
		assert.equal((await ann.get(`/venues/${venue}`)).body.stripe_account, null);
	});
	assert.equal((await sent).status, 201);
});

check('VP3', async () => {
	const venue = await opened(ANN);
	const { status, body } = await account.works(accountOf(venue));
	const [{ object: { id } }] = madeFor(venue);
	assert.deepEqual([status, body.stripe_account], [201, id]);
	assert.equal((await clientOf(otherApp, BOB).get(`/venues/${venue}`)).body.stripe_account, id);
	const { rows } = await sql.query('SELECT id FROM venues WHERE tenant = $1 AND stripe_account = $2', ['acme', id]);
	assert.deepEqual(rows, [{ id: venue }]);
});

check('VP4', async () => {
	const venue = await opened(ANN);
	stripe.fail('error', 'lost');
	const key = randomUUID();
	assertProblem(await account.send(accountOf(venue), key), 503, 'internal_error');
	const first = await account.works(accountOf(venue), key, { to: otherApp });
	const another = await doesNothingButCount(() => account.send(accountOf(venue), randomUUID()));
	assert.deepEqual([another.status, another.body], [200, first.body]);
	assert.equal(madeFor(venue).length, 1);

	// a request with another key that comes while Stripe is at work is told to come again
	const contended = await opened(ANN);
	const itsKey = randomUUID();
	const { sent } = await stripe.whileCalled(() => account.send(accountOf(contended), randomUUID()), async () => {
		assertProblem(await account.send(accountOf(contended), itsKey, { to: otherApp }), 503, 'internal_error');
	});
	const winner = await sent;
	const second = await account.send(accountOf(contended), itsKey, { to: otherApp });
	assert.deepEqual([winner.status, second.status, second.text], [201, 200, winner.text]);

	// and one that Stripe has answered meanwhile finds the account noted
	const raced = await opened(ANN);
	const release = await lock(raced);
	const early = account.send(accountOf(raced), randomUUID());
	await world.blocked(1);
	const late = account.send(accountOf(raced), randomUUID(), { to: otherApp });
	await world.blocked(2);
	await release();
	assert.deepEqual((await early).body, (await late).body);
	for (const each of [venue, contended, raced]) {
		assert.equal(madeFor(each).length, 1);
		assert.equal((await eventsOf(each)).filter((type) => type === 'venue.account_created').length, 1);
	}
});

check('VP5', async () => {
	const venue = await opened(ANN);
	const key = randomUUID();
	const { status, text, headers } = await account.works(accountOf(venue), key);
	const { tenant_id, scope, response_status, response_body, response_headers } = await rowOf(world, key);
	assert.deepEqual([tenant_id, scope, response_status, response_body], ['acme', 'POST /venues/:id/stripe-account by ann', status, text]);
	assert.equal(response_headers['content-type'], headers.get('content-type'));
	await account.survivesRestart();
});

check('VP6', async () => {
	await account.isReplayed();
	const venue = await opened(ANN);
	const key = randomUUID();
	const first = await account.works(accountOf(venue), key);
	const calls = stripe.requests.length;
	assertReplay(await account.send(accountOf(venue), key, { to: otherApp }), first);
	assert.equal(stripe.requests.length, calls);
});

check('VP7', async () => {
	const venue = await opened(ANN);
	const key = randomUUID();
	const { sent } = await stripe.whileCalled(() => account.send(accountOf(venue), key), async () => {
		const { lease_expires_at, created_at, completed_at } = await rowOf(world, key);
		assert(lease_expires_at > created_at);
		assert.equal(completed_at, null);
		assert.deepEqual(await queryAs(world, 'ticketing_operator', 'SELECT state FROM idempotency_lookup($1, $2, $3)',
			['acme', key, 'POST /venues/:id/stripe-account by ann']), [{ state: 'in_progress' }]);
		const duplicate = await account.send(accountOf(venue), key, { to: otherApp });
		assertProblem(duplicate, 409, 'idempotency_in_progress');
		assert.match(duplicate.headers.get('retry-after'), /^[1-9]\d*$/);
		assert.equal(callsFor(venue).length, 1);
	});
	const first = await sent;
	assertReplay(await account.send(accountOf(venue), key, { to: otherApp }), first);
	assert.equal((await rowOf(world, key)).lease_expires_at, null);
	await account.isExclusive();
});

check('VP8', async () => {
	await account.isKeptForADay();
	const [old, recent] = [randomUUID(), randomUUID()];
	for (const key of [old, recent]) {
		await account.works(accountOf(await opened(ANN)), key);
	}
	await keys.isSwept([old], [recent]);
});

check('VP9', async () => {
	await account.countsForTenant();
	const [ours, theirs] = [await opened(ANN), await opened(FOREIGN_ANN)];
	await account.works(accountOf(ours));
	await account.works(accountOf(theirs), randomUUID(), { who: FOREIGN_ANN });
	assert.deepEqual(callsFor(theirs, 'globex').map(({ key }) => key), [await derivedKey('globex', theirs)]);
	assert.notEqual(callsFor(ours)[0].key, callsFor(theirs, 'globex')[0].key);
	assertProblem(await account.send(accountOf(theirs), randomUUID()), 404, 'no_such_venue');
});

check('VP10', () => canBeTriedAgain('error'));

check('VW1', inbox.signatureComesFirst);

check('VW2', async () => {
	await inbox.isRecordedOnce();
	await events.isUnique('tenant_id', 'source', 'event_id');
	await events.everyUniqueIndexBeginsWithTenant();
});

check('VW3', inbox.idIsChecked);
check('VW4', inbox.stateIsTracked);

check('VW5', async () => {
	await inbox.isAnsweredAtOnce();
	await inbox.isProcessedFromQueue();
	const venue = await connected(ANN);
	await inbox.receives(updated(venue, { charges_enabled: true }));
	assert.equal(await isEnabled(venue), false);
	await inbox.drained();
	assert.equal(await isEnabled(venue), true);

	const [older, newer] = [updated(venue, { charges_enabled: true }), updated(venue, { charges_enabled: false })];
	await inbox.receives(newer);
	await inbox.drained();
	await inbox.receives(older);
	await inbox.drained();
	assert.equal(await isEnabled(venue), false);
});

check('VW6', inbox.payloadIsStored);

check('VW7', async () => {
	await inbox.duplicateIsAnswered();
	const venue = await connected(ANN);
	const event = updated(venue, { charges_enabled: true });
	for (let i = 0; i < 2; i++) {
		await inbox.deliver(event, { to: world.apps[i % 2] });
		await inbox.drained();
	}
	assert.deepEqual(await eventsOf(venue.id), ['venue.created', 'venue.account_created', 'venue.account_changed']);
});

check('VW8', async () => {
	const [old, recent] = [updated(await connected(ANN)), updated(await connected(ANN))];
	await inbox.receives(old);
	await inbox.receives(recent);
	await inbox.drained();
	await events.isSwept([old.id], [recent.id]);
});

check('VW9', inbox.failureIsLogged);

check('VW10', async () => {
	const [held, free] = [await connected(ANN), await connected(ANN)];
	await inbox.isHandledByOne(updated(held, { charges_enabled: true }), updated(free, { charges_enabled: true }),
		() => lock(held.id));
	for (const { id } of [held, free]) {
		assert.equal((await eventsOf(id)).filter((type) => type === 'venue.account_changed').length, 1);
	}
});

check('VO1', async () => {
	await create.needsKey();
	await account.needsKey();
	await create.acceptsKey();
});

check('VO2', async () => {
	await replace.needsKey();
	await replace.acceptsKey();
});

check('VO3', async () => {
	await modify.needsKey();
	await modify.acceptsKey();
});

check('VO4', async () => {
	for (const operation of operations) {
		await operation.failureIsNotStored();
	}
	const venue = await opened(ANN);
	const changes = [{ name: 'Opera' }, { capacity: 800 }, { address: '2 High Street' }, { email: 'opera@example.com' }];
	const answers = await crowd(world, { ...lockOf(venue), size: changes.length },
		(to, i) => modify.send({ method: 'PATCH', path: `/venues/${venue}`, body: changes[i] }, randomUUID(), { to, who: { tenant: 'acme', sub: `clerk ${i}` } }));
	assert.deepEqual(answers.map(({ status }) => status), [200, 200, 200, 200]);
	const { name, capacity, address, email } = (await ann.get(`/venues/${venue}`)).body;
	assert.deepEqual({ name, capacity, address, email }, Object.assign({}, ...changes));
	assert.deepEqual(await eventsOf(venue), ['venue.created', ...Array(4).fill('venue.changed')]);
});

check('VO5', async () => {
	const venue = await opened(ANN);
	const key = randomUUID();
	const release = await lock(venue);
	const { sent } = await stripe.whileCalled(() => account.send(accountOf(venue), key), async () => {
		assert.equal((await rowOf(world, key)).recovery_point, 'creating');
	});
	await world.blocked();
	const { recovery_point, recovery_data } = await rowOf(world, key);
	assert.deepEqual([recovery_point, recovery_data.account], ['created', madeFor(venue)[0].object.id]);
	assert.equal((await ann.get(`/venues/${venue}`)).body.stripe_account, null);
	await release();
	assert.equal((await sent).status, 201);
	assert.equal((await rowOf(world, key)).attempt, 1);
});

check('VO6', async () => {
	// killed while it calls: the call is made again, with the stored key
	const calling = await opened(ANN);
	const key = randomUUID();
	await withApp(world, (doomed) => stripe.whileCalled(() => account.send(accountOf(calling), key, { to: doomed }), () => doomed.kill()));
	await modify.works({ method: 'PATCH', path: `/venues/${calling}`, body: { email: 'new@example.com', name: 'Hall of Fame' } });
	assert.deepEqual((await resumed(calling, key)).recovery_point, 'created');
	assert.deepEqual(callsFor(calling).map((call) => [call.key, call.replayed]), [[await derivedKey('acme', calling), false], [await derivedKey('acme', calling), true]]);

	// killed when it had its answer: no call is made
	const called = await opened(ANN);
	const secondKey = randomUUID();
	const release = await lock(called);
	await withApp(world, async (doomed) => {
		const sent = account.send(accountOf(called), secondKey, { to: doomed }).catch(() => {});
		await world.blocked();
		await doomed.kill();
		await sent;
	});
	await release();
	await resumed(called, secondKey);
	assert.equal(callsFor(called).length, 1);
});

check('VO7', async () => {
	for (const operation of operations) {
		await operation.countsForTenant();
		await operation.countsForUser();
	}
	await keys.everyUniqueIndexBeginsWithTenant();
});

check('VO8', async () => {
	for (const operation of operations) {
		await operation.isExclusive();
	}
});

check('VO9', async () => {
	for (const route of Object.values(routes)) {
		await route.refusesAnother();
	}
	const hashes = [];
	for (const body of [HALL, Object.fromEntries(Object.entries(HALL).reverse()), ARENA]) {
		const key = randomUUID();
		await create.works({ path: '/venues', body }, key);
		hashes.push((await rowOf(world, key)).request_hash.toString('hex'));
	}
	assert.match(hashes[0], /^[0-9a-f]{64}$/);
	assert.equal(hashes[1], hashes[0]);
	assert.notEqual(hashes[2], hashes[0]);
});

check('VO10', async () => {
	for (const operation of operations) {
		await operation.isKeptForADay();
	}
});

check('SC1', async () => {
	for (const [name, route] of Object.entries(routes)) {
		const key = randomUUID();
		const { status, text } = await route.works(await trials[name](ANN), key);
		const { tenant_id, response_status, response_body } = await rowOf(world, key);
		assert.deepEqual([tenant_id, response_status, response_body], ['acme', status, text]);
	}
	await create.survivesRestart();
});

check('SC2', async () => {
	await create.isExclusive();
	await keys.isUnique('tenant_id', 'scope', 'key');
});

check('SC3', async () => {
	const covered = [];
	for (const [name, route] of Object.entries(routes)) {
		covered.push(routeOf(await trials[name](ANN)));
		await route.isProtected();
		await route.refusesKeys('not-a-uuid-but-long-enough');
	}
	assert.deepEqual(covered.sort(), await changingRoutes('/venues'));
	assert.equal((await doesNothing(world, async () => ann.get(`/venues/${await newest()}`))).status, 200);
});

check('SC4', async () => {
	for (const route of Object.values(routes)) {
		await route.isReplayed();
	}
});

check('SC5', async () => {
	for (const route of Object.values(routes)) {
		await route.saysItIsReplayed();
	}
});

check('SC6', async () => {
	for (const operation of operations) {
		await operation.failureIsNotStored();
	}
	const key = randomUUID();
	stripe.fail('error', 'error');
	const venue = await opened(ANN);
	for (const to of world.apps) {
		assertProblem(await account.send(accountOf(venue), key, { to }), 503, 'internal_error');
		const { response_status, response_body, completed_at } = await rowOf(world, key);
		assert.deepEqual([response_status, response_body, completed_at], [null, null, null]);
	}
});

check('SC7', async () => {
	for (const operation of operations) {
		await operation.isRetriedAfterFailure();
	}
});

check('SC8', () => canBeTriedAgain('error', 'busy'));

check('VA1', async () => {
	const event = updated(await connected(ANN));
	await inbox.receives(event);
	await inbox.drained();
	const { finished_at, expires_at } = await inbox.rowOf(event);
	assert.equal(seconds(finished_at, expires_at), 7 * 24 * 3600);
	await later(world, '167h', async (to) => {
		assert.deepEqual(await doesNothing(world, () => inbox.deliver(event, { to })), { status: 200, body: { received: true, duplicate: true } });
	});
	await later(world, '169h', async (to) => {
		assert.deepEqual(await inbox.deliver(event, { to }), { status: 200, body: { received: true, duplicate: false } });
	});
	// nobody can process today what came in a week
	await sql.query('DELETE FROM webhook_inbox WHERE event_id = $1', [event.id]);
	for (const [name, route] of Object.entries(routes)) {
		const key = randomUUID();
		await route.works(await trials[name](ANN), key);
		const row = await rowOf(world, key);
		assert.equal(seconds(row.created_at, row.expires_at), 24 * 3600);
	}
});

check('VA2', async () => {
	const counters = 'claimed, replayed, in_progress, mismatch, recorded, duplicate, fetched';
	const count = async () => Object.values((await queryAs(world, 'ticketing_operator', `SELECT ${counters} FROM idempotency_stats`))[0]).map(Number);
	const activity = async () => (await queryAs(world, 'ticketing_operator', `SELECT
		coalesce(sum(in_progress) FILTER (WHERE scope LIKE 'POST /venues/:id/stripe-account %'), 0)::int AS working,
		coalesce(sum(backlog) FILTER (WHERE source = 'connect'), 0)::int AS backlog FROM idempotency_activity WHERE tenant_id = 'acme'`))[0];
	const venue = await opened(ANN);
	const event = updated(await connected(ANN));
	const key = randomUUID();
	const before = await count();
	const { sent } = await stripe.whileCalled(() => account.send(accountOf(venue), key), async () => {
		assert.deepEqual(await activity(), { working: 1, backlog: 0 });
		await account.send(accountOf(venue), key);
	});
	await sent;
	await account.send(accountOf(venue), key);
	await account.send(accountOf(await newest()), key);
	await inbox.receives(event);
	await inbox.deliver(event);
	assert.deepEqual(await activity(), { working: 0, backlog: 1 });
	await inbox.drained();
	assert.deepEqual(await activity(), { working: 0, backlog: 0 });
	const after = await count();
	assert.deepEqual(after.map((n, i) => n - before[i]), [1, 1, 1, 1, 1, 1, 1]);
});

check('VA3', async () => {
	const key = randomUUID();
	const trial = await trials.create();
	await create.works(trial, key);
	await create.send(trial, key);
	const logged = await until('the replay is logged', () => {
		const lines = app.log.filter((line) => line.includes(key)).map((line) => JSON.parse(line).idempotency);
		return lines.some(({ outcome }) => outcome === 'replay') && lines;
	});
	assert.deepEqual(logged.map(({ outcome, scope }) => [outcome, scope]), [['claimed', 'POST /venues by ann'], ['replay', 'POST /venues by ann']]);
	const [{ outcomes }] = await queryAs(world, 'ticketing_app', `SELECT current_setting('idempotency.log_outcomes') AS outcomes`);
	assert.match(outcomes, /\breplay\b/);
});

test('an account that has left is not taken back by what was told before, in whichever order it comes', async () => {
	const venue = await connected(ANN);
	const [before, after] = [updated(venue), updated(venue)];
	const left = { ...after, type: 'account.application.deauthorized', data: { object: { id: 'ca_platform', object: 'application' } } };
	for (const event of [left, before]) {
		await inbox.receives(event);
		await inbox.drained();
	}
	assert.equal(await isEnabled(venue), false);
	await inbox.receives(updated(venue));
	await inbox.drained();
	assert.equal(await isEnabled(venue), true);
});

complete();

/** A venue of a tenant's, without an account. */
async function opened(who) {
	return (await clientOf(app, who).post('/venues', HALL)).body.id;
}

/** The same, with an account. */
async function connected(who) {
	const venue = await opened(who);
	return (await clientOf(app, who).post(`/venues/${venue}/stripe-account`)).body;
}

/** An event about a venue's account, later than all before it. */
function updated({ id: venue, stripe_account: id }, changes = {}) {
	updated.created = (updated.created ?? 1_800_000_000) + 1;
	return {
		id: eventId(), type: 'account.updated', created: updated.created, account: id,
		data: { object: { id, object: 'account', charges_enabled: true, metadata: { tenant: 'acme', venue: String(venue) }, ...changes } },
	};
}

function lockOf(venue) {
	return { lock: 'SELECT FROM venues WHERE id = $1 FOR UPDATE', values: [venue] };
}

function lock(venue) {
	return world.lock(lockOf(venue).lock, [venue]);
}

function accountOf(venue) {
	return { path: `/venues/${venue}/stripe-account` };
}

/** The calls to Stripe for a venue. */
function callsFor(venue, tenant = 'acme') {
	return stripe.requests.filter(({ path, params: { metadata } }) => path === '/v1/accounts' && metadata.venue === String(venue) && metadata.tenant === tenant);
}

/** What Stripe has really made for it. */
function madeFor(venue) {
	return stripe.made.filter(({ path, params: { metadata } }) => path === '/v1/accounts' && metadata.venue === String(venue));
}

/** The key of a venue's account as the database derives it, in which nothing else can be. */
async function derivedKey(tenant, venue) {
	return (await sql.query(`SELECT idempotency_derive_key($1, $2, 'venue', $3::text, 'stripe-account') AS key`, [NAMESPACE, tenant, venue])).rows[0].key;
}

/** A request whose process has died is carried out by another one, once its lease is over. */
async function resumed(venue, key) {
	assertProblem(await account.send(accountOf(venue), key), 409, 'idempotency_in_progress');
	await later(world, '6min', async (to) => {
		const answer = await account.send(accountOf(venue), key, { to });
		assert.deepEqual([answer.status, answer.body.stripe_account], [201, madeFor(venue)[0].object.id]);
	});
	assert.equal(madeFor(venue).length, 1);
	const row = await rowOf(world, key);
	assert.equal(row.attempt, 2);
	return row;
}

/** What fails at Stripe is done by the retry with the same key, once. */
async function canBeTriedAgain(...failures) {
	for (const how of failures) {
		const venue = await opened(ANN);
		const key = randomUUID();
		stripe.fail(how);
		const failed = await account.send(accountOf(venue), key);
		assertProblem(failed, 503, 'internal_error');
		assert.match(failed.headers.get('retry-after'), /^[1-9]\d*$/);
		assert.deepEqual(madeFor(venue), []);
		const done = await account.works(accountOf(venue), key, { to: otherApp });
		assert.equal((await rowOf(world, key)).attempt, 2);
		assertReplay(await doesNothing(world, () => account.send(accountOf(venue), key)), done);
		assert.equal(madeFor(venue).length, 1);
	}
}

async function doesNothingButCount(work) {
	const { result, effects } = await effectsOf(world, work);
	assert.deepEqual(Object.keys(effects), ['usage']);
	return result;
}

async function isEnabled({ id }) {
	return (await ann.get(`/venues/${id}`)).body.charges_enabled;
}

/** What happened to a venue of Acme's, in order. */
async function eventsOf(venue) {
	const { rows } = await sql.query(`SELECT type FROM events WHERE tenant = 'acme' AND aggregate = $1 ORDER BY sequence`, [`venue:${venue}`]);
	return rows.map(({ type }) => type);
}

async function newest() {
	return (await sql.query(`SELECT max(id) AS id FROM venues WHERE tenant = 'acme'`)).rows[0].id;
}
