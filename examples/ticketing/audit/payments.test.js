import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { deterministic } from '../keys.js';
import { without } from './between.js';
import { checksOf } from './checks.js';
import { clientOf } from './client.js';
import { inboxOf } from './inbox.js';
import { queryAs, rowOf, rowsOf, seconds } from './key.js';
import { later, withApp, withSetting } from './later.js';
import { withLink } from './link.js';
import { card, eventOf, moneyOf, refunded, settled } from './money.js';
import { ANN, assertProblem, assertReplay, BOB, FOREIGN_ANN, holdRequestsOf, protectionOf, whileBroken } from './protection.js';
import { changingRoutes, routeOf } from './routes.js';
import { doesNothing, effectsOf } from './state.js';
import { storeOf } from './store.js';
import { sign } from './stripe.js';
import { until } from './until.js';
import { SECRETS, startWorld } from './world.js';

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

const { check, complete } = checksOf('payments');
const world = await startWorld();
const { stripe, sql, apps: [app, otherApp] } = world;
const ann = clientOf(app, ANN);
const annElsewhere = clientOf(otherApp, ANN);
const { paid, intended, notedFor, giveBackWithoutUs, whileCalling, isBooked } = moneyOf(world);

/** A request to each route. */
const prepare = {
	process: async () => ({ path: '/payments/process', body: card(5000), another: { body: card(6000) } }),
	intents: async () => ({ path: '/payments/intents', body: { amount: 7000 }, another: { body: { amount: 8000 } } }),
	refunds: async (who) => {
		const { payment: { id: payment } } = await paid(who);
		return { path: '/payments/refunds', body: { payment, amount: 1000 }, another: { body: { payment, amount: 500 } } };
	},
	fees: async (who) => {
		const [one, other] = [await paid(who), await paid(who)];
		return { path: '/payments/fees', body: { payment: one.payment.id }, another: { body: { payment: other.payment.id } } };
	},
};
const protection = Object.fromEntries(Object.entries(prepare).map(([name, trial]) => [name, protectionOf(world, trial)]));
const everyRoute = Object.values(protection);
/** Those that call the provider. */
const callers = ['process', 'intents', 'refunds'];

const inbox = inboxOf(world, 'stripe', async () => settled((await intended(ANN)).intent));
const keys = storeOf(world, 'idempotency_keys');
const events = storeOf(world, 'webhook_inbox');

check('PS1', async () => {
	for (const name of ['process', 'intents']) {
		const call = await callOf(name);
		assert.equal(call.path, '/v1/payment_intents');
		assert.equal(call.key, (await notedFor(call)).provider_key);
	}
});

check('PS2', async () => {
	const call = await callOf('refunds');
	assert.equal(call.path, '/v1/refunds');
	assert.equal(call.key, (await notedFor(call)).provider_key);
});

check('PS3', async () => {
	for (const name of callers) {
		const { path, body } = await prepare[name](ANN);
		const key = randomUUID();
		await whileCalling(() => ann.post(path, body, key), async (call) => {
			const { recovery_point, recovery_data } = await rowOf(world, key);
			assert.match(recovery_point, /^(charging|refunding)$/);
			assert.equal(recovery_data.providerKey, call.key);
			const { state, provider_key } = await notedFor(call);
			assert.deepEqual([state, provider_key], ['pending', call.key]);
		});
	}
});

// a process that is killed while it calls leaves its key to whoever resumes
check('PS4', async () => {
	for (const name of callers) {
		const { path, body } = await prepare[name](ANN);
		const key = randomUUID();
		let first;
		await withApp(world, (doomed) => whileCalling(() => clientOf(doomed).post(path, body, key), async (call) => {
			first = call;
			await doomed.kill();
		}));
		assertProblem(await ann.post(path, body, key), 409, 'idempotency_in_progress');
		await later(world, '31min', async (to) => {
			assert.equal((await clientOf(to).post(path, body, key)).status, 201);
		});
		assert.equal((await rowOf(world, key)).attempt, 2);
		assert.deepEqual(callsWith(first.key).map(({ replayed }) => replayed), [false, true]);
		assert.equal(madeWith(first.key).length, 1);
		assert.equal((await notedFor(first)).idempotency_key, key);
	}
});

check('PS5', async () => {
	const key = randomUUID();
	const used = [];
	for (const [name, who, itsKey] of [
		['process', ANN, key], ['process', BOB, key], ['process', FOREIGN_ANN, key], ['process', ANN, randomUUID()], ['intents', ANN, key], ['refunds', ANN, key],
	]) {
		used.push((await callOf(name, who, itsKey)).key);
	}
	assert.equal(new Set(used).size, used.length);
	assert.equal(used[0], deterministic(ANN.tenant, ANN.sub, key, '/payments/process'));
});

check('PS6', async () => {
	for (const name of callers) {
		assert.match((await callOf(name)).key, UUID);
	}
});

check('PS7', async () => {
	for (const name of callers) {
		for (const how of ['error', 'busy']) {
			const { path, body } = await prepare[name](ANN);
			const key = randomUUID();
			stripe.fail(how);
			const { result: failed, effects } = await effectsOf(world, () => ann.post(path, body, key));
			assertProblem(failed, 503, 'internal_error');
			assert.match(failed.headers.get('retry-after'), /^\d+$/);
			assert.deepEqual([effects.stripe, effects.ledger, effects.events], [undefined, undefined, undefined]);
			const { result: done, effects: { stripe: made } } = await effectsOf(world, () => annElsewhere.post(path, body, key));
			assert.equal(done.status, 201);
			assert.deepEqual(made, { added: 1, changed: 0 });
		}
	}
	await isBooked();
});

check('PS8', async () => {
	for (const name of callers) {
		for (const [how, status, code] of [['refuse', 400, 'resource_missing'], ['decline', 402, 'card_declined']]) {
			const { path, body } = await prepare[name](ANN);
			const key = randomUUID();
			stripe.fail(how);
			const { result: refusal, effects } = await effectsOf(world, () => ann.post(path, body, key));
			assertProblem(refusal, status, code);
			assert.deepEqual([effects.stripe, effects.ledger], [undefined, undefined]);
			const called = stripe.requests.length;
			assertReplay(await doesNothing(world, () => annElsewhere.post(path, body, key)), refusal);
			assert.equal(stripe.requests.length, called);
			assert.equal((await notedFor(stripe.requests.at(-1))).state, 'failed');
		}
	}
});

check('PS9', async () => {
	for (const name of callers) {
		const { path, body } = await prepare[name](ANN);
		const key = randomUUID();
		// the library tries a second time where a connection broke
		stripe.fail('lost');
		const { result: answer, effects } = await effectsOf(world, () => ann.post(path, body, key));
		assert.equal(answer.status, 201);
		assert.deepEqual(effects.stripe, { added: 1, changed: 0 });
		assert.deepEqual(callsWith(stripe.requests.at(-1).key).map(({ replayed }) => replayed), [false, true]);
		assertReplay(await doesNothing(world, () => annElsewhere.post(path, body, key)), answer);
	}
	await isBooked();
});

check('PW1', async () => {
	await inbox.signatureComesFirst();
	const { intent } = await intended(ANN);
	const event = JSON.stringify({ object: 'event', ...settled(intent) });
	const signature = sign(event, SECRETS.stripe);
	const forged = 'v1='.padEnd(67, '0');
	const before = await recorded();
	for (const [body, how] of [
		[event, { signature: '' }], [event, { signature: 'nonsense' }], [event, { signature: signature.replace(/v1=.*/, forged) }],
		[event.replace('7000', '7001'), { signature }], [`${event} `, { signature }], [event, { secret: SECRETS.connect }],
	]) {
		const answer = await stripe.deliverText(app, 'stripe', body, how);
		assert.deepEqual([answer.status, answer.body.code], [400, 'signature_invalid']);
	}
	assert.equal(await recorded(), before);
	// while a secret is rolled, the provider signs with both
	const { status } = await stripe.deliverText(app, 'stripe', event, { signature: signature.replace('v1=', `${forged},v1=`) });
	assert.deepEqual([status, await recorded()], [200, before + 1]);
});

check('PW2', async () => {
	await inbox.idIsChecked();
	await events.isUnique('tenant_id', 'source', 'event_id');
});

check('PW3', inbox.isRecordedOnce);
check('PW4', inbox.stateIsTracked);

check('PW5', async () => {
	await inbox.isAnsweredAtOnce();
	const unknown = eventOf('payment_intent.succeeded', { id: 'pi_unknown', object: 'payment_intent', amount: 7000, metadata: { tenant: ANN.tenant } });
	await inbox.receives(unknown);
	const worker = await world.startWorker();
	await until('its processing has failed', async () => (await inbox.rowOf(unknown)).last_error);
	await worker.stop();
	const { state, attempt, last_error } = await inbox.rowOf(unknown);
	assert.deepEqual([state, attempt], ['pending', 1]);
	assert.match(last_error, /no payment of ours is pi_unknown/);
	assert.deepEqual(await inbox.deliver(unknown), { status: 200, body: { received: true, duplicate: true } });
	await sql.query('DELETE FROM webhook_inbox WHERE event_id = $1', [unknown.id]);
});

check('PW6', inbox.duplicateIsAnswered);
check('PW7', inbox.payloadIsStored);

check('PW8', async () => {
	const [old, recent] = [settled((await intended(ANN)).intent), settled((await intended(ANN)).intent)];
	await inbox.receives(old);
	await inbox.receives(recent);
	await inbox.drained();
	const { received_at, expires_at } = await inbox.rowOf(recent);
	assert(expires_at - received_at >= 7 * 24 * 3600 * 1000);
	await events.isSwept([old.id], [recent.id]);
});

check('PW9', inbox.failureIsLogged);

check('PW10', async () => {
	const [held, free] = [await intended(ANN), await intended(ANN)];
	await inbox.isHandledByOne(settled(held.intent), settled(free.intent), () => world.lock(
		'SELECT FROM payments WHERE tenant = $1 AND id = $2 FOR UPDATE', [ANN.tenant, held.payment.id]));
	await isBooked();
});

check('PM1', () => every(everyRoute, ({ needsKey }) => needsKey()));

check('PM2', () => every(everyRoute, async ({ refusesKeys, acceptsKey }) => {
	await refusesKeys('not-a-uuid-but-long-enough', `${randomUUID()}0`, '1234');
	await acceptsKey();
}));

check('PM3', () => every(everyRoute, async ({ countsForTenant, countsForUser }) => {
	await countsForTenant();
	await countsForUser();
}));

check('PM4', () => every(everyRoute, async ({ isReplayed, saysItIsReplayed }) => {
	await isReplayed();
	await saysItIsReplayed();
}));

check('PM5', () => every(everyRoute, ({ isExclusive }) => isExclusive()));

check('PM6', () => every([protection.process, protection.fees], ({ survivesRestart }) => survivesRestart()));

check('PM7', async () => {
	const { body } = await prepare.process();
	const key = randomUUID();
	const release = await holdRequestsOf(world, ANN);
	const answer = ann.post('/payments/process', body, key);
	const { created_at, lease_expires_at } = await world.blocked().then(() => rowOf(world, key)).finally(release);
	assert.equal((await answer).status, 201);
	assert.equal(seconds(created_at, lease_expires_at), 30 * 60);
	assert.equal(seconds(created_at, (await rowOf(world, key)).expires_at), 24 * 3600);
	await protection.fees.isKeptForADay();
	const refused = await unpaid(ANN);
	const itsKey = randomUUID();
	assert.equal((await ann.post(refused.path, refused.body, itsKey)).status, 409);
	const { completed_at, expires_at } = await rowOf(world, itsKey);
	assert.equal(seconds(completed_at, expires_at), 3600);
});

check('PM8', async () => {
	await protection.fees.isRetriedAfterFailure();
	// the provider did it, but it could not be noted
	for (const name of callers) {
		const { path, body } = await prepare[name](ANN);
		const key = randomUUID();
		const { effects } = await effectsOf(world, async () => {
			await whileBroken(world, async () => {
				const failed = await ann.post(path, body, key);
				assert.equal(failed.status, name === 'intents' ? 201 : 500);
			});
			assert.equal((await annElsewhere.post(path, body, key)).status, 201);
		});
		assert.deepEqual([effects.stripe, effects.usage], [{ added: 1, changed: 0 }, { added: 1, changed: 0 }]);
	}
	await isBooked();
});

check('PM9', () => protection.fees.keepsRefusals(unpaid));

// there is only the database: while it can't be reached nothing is carried out, and nothing is forgotten
check('PM10', () => withLink(world, async (far, link) => {
	const key = randomUUID();
	const answer = await clientOf(far, ANN).post('/payments/process', card(5000), key);
	assert.equal(answer.status, 201);
	link.cut();
	const called = stripe.requests.length;
	for (const itsKey of [key, randomUUID()]) {
		const refused = await doesNothing(world, () => clientOf(far, ANN).post('/payments/process', card(5000), itsKey));
		assertProblem(refused, 503, 'idempotency_unavailable');
	}
	assert.equal(stripe.requests.length, called);
	link.mend();
	assertReplay(await clientOf(far, ANN).post('/payments/process', card(5000), key), answer);
}));

check('PR1', protection.process.isProtected);
check('PR2', protection.fees.isProtected);

check('PR3', async () => {
	const { payment: { id } } = await paid(ANN);
	const { status, body } = await doesNothing(world, () => ann.get(`/payments/${id}`));
	assert.deepEqual([status, body], [200, { id, amount: 5000, state: 'succeeded', refunded: 0, fee: null }]);
	for (const who of [BOB, FOREIGN_ANN]) {
		assertProblem(await clientOf(app, who).get(`/payments/${id}`), 404, 'no_such_payment');
	}
});

check('PR4', protection.refunds.isProtected);
check('PR5', protection.intents.isProtected);

check('PR6', async () => {
	const { payment, intent } = await intended(ANN);
	const event = settled(intent);
	const { effects } = await effectsOf(world, async () => {
		const answers = await Promise.all(Array.from({ length: 6 }, (_, i) => inbox.deliver(event, { to: world.apps[i % 2] })));
		assert.deepEqual(answers.filter(({ body }) => !body.duplicate).map(({ status }) => status), [200]);
		await inbox.drained();
		await inbox.deliver(event);
		await inbox.drained();
	});
	assert.deepEqual(effects.ledger, { added: 2, changed: 0 });
	assert.equal((await ann.get(`/payments/${payment.id}`)).body.state, 'succeeded');
});

check('PD1', async () => {
	const key = randomUUID();
	assert.deepEqual(await rowsOf(world, key), []);
	await ann.post('/payments/process', card(5000), key);
	const { tenant_id, scope, created_at, completed_at } = await rowOf(world, key);
	assert.deepEqual([tenant_id, scope], [ANN.tenant, 'POST /payments/process by ann']);
	assert(created_at <= completed_at);
});

check('PD2', async () => {
	await protection.fees.isExclusive();
	await keys.isUnique('tenant_id', 'scope', 'key');
});

check('PD3', async () => {
	const [old, recent] = [randomUUID(), randomUUID()];
	for (const key of [old, recent]) {
		await ann.post('/payments/process', card(5000), key);
	}
	await keys.isSwept([old], [recent]);
});

check('PD4', async () => {
	const hashes = [];
	for (const body of ['{"amount":5000,"method":"pm_card_visa"}', '{ "method": "pm_card_visa", "amount": 5000 }', '{"amount":5001,"method":"pm_card_visa"}']) {
		const key = randomUUID();
		assert.equal((await ann.send('POST', '/payments/process', { text: body, key })).status, 201);
		hashes.push((await rowOf(world, key)).request_hash);
	}
	assert.deepEqual(hashes.map(({ length }) => length), [32, 32, 32]);
	assert.deepEqual(hashes[1], hashes[0]);
	assert.notDeepEqual(hashes[2], hashes[0]);
	await protection.process.refusesAnother();
});

check('PD5', async () => {
	const key = randomUUID();
	const { status, text, headers } = await ann.post('/payments/process', card(5000), key);
	const row = await rowOf(world, key);
	assert.deepEqual([row.response_status, row.response_body], [status, text]);
	assert.equal(row.response_headers.location, headers.get('location'));
});

check('PD6', async () => {
	await protection.fees.countsForTenant();
	await keys.everyUniqueIndexBeginsWithTenant();
});

check('PO1', async () => {
	await inbox.drained();
	const { payment, intent } = await intended(ANN);
	const [paying, giving] = [settled(intent), refunded(intent, 2000)];
	await inbox.receives(giving);
	await inbox.receives(paying);
	assert.equal(Number((await inbox.rowOf(giving)).sequence), giving.created);
	await inbox.drained();
	const { rows } = await sql.query('SELECT sequence::int, type, idempotency_key FROM events WHERE tenant = $1 AND aggregate = $2 ORDER BY sequence',
		[ANN.tenant, `payment:${payment.id}`]);
	assert.deepEqual(rows, [
		{ sequence: 1, type: 'payment.succeeded', idempotency_key: paying.id },
		{ sequence: 2, type: 'payment.refunded', idempotency_key: giving.id },
	]);
	await giveBackWithoutUs(intent, 2000);
	await isBooked();
});

check('PO2', async () => {
	const { payment, intent } = await intended(ANN);
	const event = settled(intent);
	await inbox.receives(event);
	await inbox.drained();
	await doesNothing(world, async () => {
		const [{ again }] = await queryAs(world, 'ticketing_operator', 'SELECT webhook_inbox_requeue($1, $2, $3) AS again', [ANN.tenant, 'stripe', event.id]);
		assert(again);
		await inbox.drained();
	});
	assert.equal((await inbox.rowOf(event)).state, 'processed');
	assert.equal((await ann.get(`/payments/${payment.id}`)).body.state, 'succeeded');
});

// the provider may tell the same thing in two events
check('PO3', async () => {
	const { payment, intent } = await intended(ANN);
	await inbox.receives(settled(intent));
	await inbox.drained();
	await doesNothing(world, async () => {
		await inbox.receives(settled(intent));
		await inbox.drained();
	});
	const aggregate = `payment:${payment.id}`;
	const { rows: [{ key }] } = await sql.query('SELECT key FROM events WHERE tenant = $1 AND aggregate = $2', [ANN.tenant, aggregate]);
	assert.equal(key, deterministic(ANN.tenant, aggregate, 1, 'payment.succeeded'));
	await assert.rejects(sql.query(
		`INSERT INTO events (tenant, aggregate, sequence, key, type, payload) VALUES ($1, $2, 99, $3, 'payment.succeeded', '{}')`, [ANN.tenant, aggregate, key]),
	{ code: '23505' });
});

check('PO4', async () => {
	const covered = [];
	for (const name of Object.keys(prepare)) {
		const trial = await prepare[name](ANN);
		const key = randomUUID();
		const { status } = await ann.post(trial.path, trial.body, key);
		const row = await rowOf(world, key);
		assert.deepEqual([row.scope, row.attempt, row.response_status], [`${routeOf(trial)} by ann`, 1, status]);
		covered.push(routeOf(trial));
	}
	assert.deepEqual(covered.sort(), await changingRoutes('/payments'));
});

check('PA1', async () => {
	const key = randomUUID();
	stripe.fail('error', 'error');
	for (const status of [503, 503, 201]) {
		assert.equal((await ann.post('/payments/process', card(5000), key)).status, status);
	}
	assert.equal((await rowOf(world, key)).attempt, 3);
	const { event } = await dead();
	assert.equal((await inbox.rowOf(event)).attempt, 3);
});

check('PA2', async () => {
	const { event, payment, log } = await dead();
	assert(log.some((line) => line.includes('"state":"dead"') && line.includes(event.id)));
	assert.match((await inbox.rowOf(event)).last_error, /permission denied/);
	await doesNothing(world, inbox.drained);
	assert.equal((await inbox.rowOf(event)).state, 'dead');
	// somebody has mended what was broken, and lets it be tried again
	const [{ count }] = await queryAs(world, 'ticketing_operator', 'SELECT webhook_inbox_requeue_dead($1, $2)::int AS count', [ANN.tenant, 'stripe']);
	assert(count >= 1);
	await inbox.drained();
	assert.equal((await inbox.rowOf(event)).state, 'processed');
	assert.equal((await ann.get(`/payments/${payment.id}`)).body.state, 'succeeded');
});

check('PA3', async () => {
	const trial = await unpaid(ANN);
	const [success, refusal] = [randomUUID(), randomUUID()];
	await ann.post('/payments/process', card(5000), success);
	assert.equal((await ann.post(trial.path, trial.body, refusal)).status, 409);
	const kept = [];
	for (const key of [success, refusal]) {
		const { completed_at, expires_at } = await rowOf(world, key);
		kept.push(seconds(completed_at, expires_at));
	}
	assert(kept[1] < kept[0]);
	assert.equal(kept[1], 3600);
	// that a key is for another request, or a request no good, is not kept
	assertProblem(await ann.post('/payments/process', card(6000), success), 422, 'idempotency_mismatch');
	assert.equal((await rowOf(world, success)).response_status, 201);
	const key = randomUUID();
	assert.equal((await ann.post('/payments/process', card(1), key)).status, 400);
	assert.deepEqual(await rowsOf(world, key), []);
	assert.equal((await ann.post('/payments/process', card(5000), key)).status, 201);
});

complete();

async function every(things, assertion) {
	for (const thing of things) {
		await assertion(thing);
	}
}

/** The fee of a payment that wasn't made yet. */
async function unpaid(who) {
	const { payment, intent } = await intended(who);
	return {
		path: '/payments/fees', body: { payment: payment.id },
		async mend() {
			await inbox.receives(settled(intent));
			await inbox.drained();
		},
	};
}

/** An event that has failed for good. */
async function dead() {
	const { payment, intent } = await intended(ANN);
	const event = settled(intent);
	await inbox.drained();
	await inbox.receives(event);
	const log = await without(world, 'INSERT ON events', 'ticketing_worker', () => (
		withSetting(world, 'idempotency.webhook_max_attempts', '3', () => (
			withSetting(world, 'idempotency.webhook_backoff_base', '10ms', async () => {
				const worker = await world.startWorker();
				await until('it is given up', async () => (await inbox.rowOf(event)).state === 'dead');
				await until('that is logged', () => worker.log.some((line) => line.includes('"state":"dead"')));
				await worker.stop();
				return worker.log;
			})))));
	return { event, payment, log };
}

/** Sends a good request to a route; what Stripe was asked for. */
async function callOf(name, who = ANN, key = randomUUID()) {
	const { path, body } = await prepare[name](who);
	const before = stripe.requests.length;
	assert.equal((await clientOf(app, who).post(path, body, key)).status, 201);
	const calls = stripe.requests.slice(before);
	assert.equal(calls.length, 1);
	return calls[0];
}

function callsWith(key) {
	return stripe.requests.filter((call) => call.key === key);
}

function madeWith(key) {
	return stripe.made.filter((made) => made.key === key);
}

async function recorded() {
	const { rows: [{ count }] } = await sql.query('SELECT count(*)::int FROM webhook_inbox');
	return count;
}
