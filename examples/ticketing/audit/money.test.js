import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { deterministic } from '../keys.js';
import { clientOf } from './client.js';
import { inboxOf } from './inbox.js';
import { queryAs, rowOf } from './key.js';
import { later, withSetting } from './later.js';
import { withLink } from './link.js';
import { card, eventOf, moneyOf, refunded, settled } from './money.js';
import { ANN, assertProblem, BOB, holdRequestsOf } from './protection.js';
import { assertSound, doesNothing, effectsOf } from './state.js';
import { until } from './until.js';
import { startWorld } from './world.js';

// What is paid, refunded and booked stays right, whoever is late, dies, lies or can't be reached.

const world = await startWorld();
const { stripe, sql, apps: [app, otherApp] } = world;
const ann = clientOf(app, ANN);
const annElsewhere = clientOf(otherApp, ANN);
const { paid, intended, giveBackWithoutUs, whileCalling, isBooked } = moneyOf(world);
const inbox = inboxOf(world, 'stripe');
const once = { added: 1, changed: 0 };

test('a timeout is no failure: the same key finds out, and asks in vain while the provider is at work', async () => {
	const key = randomUUID();
	const hasty = await world.startApp({ STRIPE_TIMEOUT: '1000' });
	const { effects } = await effectsOf(world, async () => {
		await whileCalling(() => clientOf(hasty, ANN).post('/payments/process', card(5000), key), async () => {
			await until('it was given up', async () => !(await rowOf(world, key)).lease_expires_at);
			assertProblem(await ann.post('/payments/process', card(5000), key), 503, 'internal_error');
		});
		assert.equal((await annElsewhere.post('/payments/process', card(5000), key)).status, 201);
	});
	assert.deepEqual([effects.stripe, effects.payments], [once, once]);
	await hasty.kill();
	await isBooked();
});

test('where the provider keeps saying that it failed, its event tells what became of the payment', async () => {
	const key = randomUUID();
	stripe.fail('broken');
	for (const client of [ann, annElsewhere]) {
		assertProblem(await client.post('/payments/process', card(5000), key), 503, 'internal_error');
	}
	await inbox.receives(settled(stripe.made.at(-1).object));
	await inbox.drained();
	const called = stripe.requests.length;
	const { status, body } = await ann.post('/payments/process', card(5000), key);
	assert.deepEqual([status, body.state, stripe.requests.length], [201, 'succeeded', called]);
	await isBooked();
});

test('the event of a payment comes before the provider\'s answer', async () => {
	const { result: { status, body }, effects } = await effectsOf(world, () => whileCalling(() => ann.post('/payments/process', card(5000)), async () => {
		await inbox.receives(settled(stripe.made.at(-1).object));
		await inbox.drained();
	}));
	assert.deepEqual([status, body.state], [201, 'succeeded']);
	assert.deepEqual([effects.payments, effects.events], [once, once]);
	await isBooked();
});

test('the event of a payment comes while the provider\'s answer is being booked', async () => {
	const worker = await world.startWorker();
	const { effects } = await effectsOf(world, async () => {
		let answer;
		await whileLocked('LOCK TABLE ledger IN SHARE MODE', [], async () => {
			answer = ann.post('/payments/process', card(5000));
			await world.blocked();
			await inbox.receives(settled(stripe.made.at(-1).object));
			await world.blocked(1, 'ticketing_worker');
		});
		assert.equal((await answer).status, 201);
		await inbox.drained();
	});
	await worker.stop();
	assert.deepEqual([effects.payments, effects.events, effects.ledger], [once, once, { added: 2, changed: 0 }]);
	await isBooked();
});

test('a failure that is told after the success changes nothing, a success after a failure does', async () => {
	const { payment, intent } = await intended(ANN);
	const failure = () => eventOf('payment_intent.payment_failed', { ...intent, status: 'requires_payment_method', last_payment_error: { code: 'card_declined', message: 'no' } });
	for (const [event, state] of [[failure(), 'failed'], [settled(intent), 'succeeded'], [failure(), 'succeeded']]) {
		await inbox.receives(event);
		await inbox.drained();
		assert.equal((await ann.get(`/payments/${payment.id}`)).body.state, state);
	}
	await isBooked();
});

test('refunds at the same time never exceed what was paid', async () => {
	const { payment, intent } = await paid(ANN);
	const answers = [];
	const before = stripe.requests.length;
	await whileCalling(() => Promise.all(Array.from({ length: 8 }, async (_, i) => {
		answers.push(await clientOf(world.apps[i % 2], ANN).post('/payments/refunds', { payment: payment.id, amount: 1000 }));
	})), async () => {
		await until('each is refused or at Stripe', () => answers.length + stripe.requests.length - before === 8);
		assert.deepEqual(answers.map(({ status, body }) => [status, body.code]), Array(3).fill([409, 'refund_too_large']));
		// the event comes before the answers
		await inbox.receives(refunded(intent, 5000));
		await inbox.drained();
	});
	assert.deepEqual(answers.slice(3).map(({ status }) => status), Array(5).fill(201));
	assert.deepEqual((await ann.get(`/payments/${payment.id}`)).body.refunded, 5000);
	await isBooked();
});

test('what was refunded without us can\'t be refunded again, and is booked once', async () => {
	const { payment, intent } = await paid(ANN);
	await giveBackWithoutUs(intent, 2000);
	// nobody has told us yet: the provider refuses
	const refusal = await ann.post('/payments/refunds', { payment: payment.id, amount: 4000 });
	assertProblem(refusal, 400, 'resource_missing');
	const events = [refunded(intent, 2000), refunded(intent, 2000)];
	for (const event of events) {
		await inbox.receives(event);
	}
	await inbox.drained();
	assertProblem(await ann.post('/payments/refunds', { payment: payment.id, amount: 4000 }), 409, 'refund_too_large');
	assert.equal((await ann.post('/payments/refunds', { payment: payment.id, amount: 3000 })).status, 201);
	await inbox.receives(refunded(intent, 5000));
	await inbox.drained();
	await isBooked();
});

test('a refund that the provider refuses leaves the money to be refunded', async () => {
	const { payment } = await paid(ANN);
	stripe.fail('refuse');
	assertProblem(await ann.post('/payments/refunds', { payment: payment.id, amount: 5000 }), 400, 'resource_missing');
	assert.equal((await ann.post('/payments/refunds', { payment: payment.id, amount: 5000 })).status, 201);
	await isBooked();
});

test('nobody refunds, or takes the fee of, what another has paid', async () => {
	const { payment: { id } } = await paid(ANN);
	for (const [path, body] of [['/payments/refunds', { payment: id, amount: 100 }], ['/payments/fees', { payment: id }]]) {
		assertProblem(await clientOf(app, BOB).post(path, body), 404, 'no_such_payment');
	}
	await isBooked();
});

test('a key pays once, even where it has expired', async () => {
	const key = randomUUID();
	assert.equal((await ann.post('/payments/process', card(5000), key)).status, 201);
	await later(world, '1441min', async (to) => {
		const made = stripe.made.length;
		assertProblem(await clientOf(to, ANN).post('/payments/process', card(5000), key), 409, 'key_spent');
		assert.equal(stripe.made.length, made);
	});
	await isBooked();
});

test('a key pays and refunds once, also where it has expired, its next attempt has failed, and the provider has forgotten it', async () => {
	const [charge, refund] = [randomUUID(), randomUUID()];
	const { body: payment } = await ann.post('/payments/process', card(5000), charge);
	const requests = [['/payments/process', card(5000), charge], ['/payments/refunds', { payment: payment.id, amount: 1000 }, refund]];
	await ann.post(...requests[1]);
	stripe.forgetKeys();
	await later(world, '1441min', async (to) => {
		const made = stripe.made.length;
		for (const request of requests) {
			await sql.query('REVOKE INSERT ON usage FROM ticketing_app');
			assertProblem(await clientOf(to, ANN).post(...request).finally(() => sql.query('GRANT INSERT ON usage TO ticketing_app')), 500, 'internal_error');
			const answer = await clientOf(to, ANN).post(...request);
			assert.equal(stripe.made.length, made);
			assertProblem(answer, 409, 'key_spent');
		}
	});
	await isBooked();
});

test('what the provider may have done under a key that it has forgotten is not asked for again', async () => {
	const { payment } = await paid(ANN);
	for (const [table, path, body] of [['payments', '/payments/process', card(5000)], ['refunds', '/payments/refunds', { payment: payment.id, amount: 1000 }]]) {
		const key = randomUUID();
		stripe.fail('broken');
		assertProblem(await ann.post(path, body, key), 503, 'internal_error');
		const { object } = stripe.made.at(-1);
		await sql.query(`UPDATE ${table} SET created_at = created_at - interval '1 day' WHERE idempotency_key = $1`, [key]);
		stripe.forgetKeys();
		const made = stripe.made.length;
		assertProblem(await annElsewhere.post(path, body, key), 504, 'pending');
		assert.equal(stripe.made.length, made);
		// the provider's event tells
		await inbox.receives(object.object === 'refund' ? refunded({ ...stripe.made.map((call) => call.object).find(({ id }) => id === object.payment_intent) }, 1000) : settled(object));
		await inbox.drained();
	}
	await isBooked();
});

test('an attempt that was taken over promises nothing', async () => {
	const { payment, intent } = await intended(ANN);
	const key = randomUUID();
	const body = { payment: payment.id, amount: 7000 };
	const release = await holdRequestsOf(world, ANN);
	const first = ann.post('/payments/refunds', body, key);
	await world.blocked();
	await later(world, '31min', async (to) => {
		assertProblem(await clientOf(to, ANN).post('/payments/refunds', body, key), 409, 'wrong_state');
	});
	await inbox.receives(settled(intent));
	await inbox.drained();
	await release();
	assertProblem(await first, 409, 'idempotency_claim_lost');
	assert.equal((await ann.post('/payments/refunds', body)).status, 201);
	await isBooked();
});

test('the provider\'s complaint about a key is not the client\'s fault', async () => {
	const key = randomUUID();
	await fetch(`${stripe.url}/v1/payment_intents`, {
		method: 'POST',
		headers: { 'idempotency-key': deterministic(ANN.tenant, ANN.sub, key, '/payments/process') },
		body: 'amount=1&metadata[tenant]=nobody&metadata[payment]=0',
	});
	assertProblem(await ann.post('/payments/process', card(5000), key), 500, 'internal_error');
	assert.equal((await rowOf(world, key)).completed_at, null);
});

test('the database is lost between the charge and its booking', async () => {
	const key = randomUUID();
	const { effects } = await effectsOf(world, async () => {
		await withLink(world, async (far, link) => {
			const answer = await whileCalling(() => clientOf(far, ANN).post('/payments/process', card(5000), key), async () => link.cut());
			assert.equal(answer.status, 503);
		});
		await later(world, '31min', async (to) => {
			assert.equal((await clientOf(to, ANN).post('/payments/process', card(5000), key)).status, 201);
		});
	});
	assert.deepEqual([effects.stripe, effects.payments], [once, once]);
	await isBooked();
});

test('an event that can\'t be recorded is not answered 200, and is recorded when it is delivered again', async () => {
	const { intent } = await intended(ANN);
	const event = settled(intent);
	await withLink(world, async (far, link) => {
		link.cut();
		assert.equal((await stripe.deliver(far, 'stripe', event)).status, 503);
		link.mend();
		assert.deepEqual(await stripe.deliver(far, 'stripe', event), { status: 200, body: { received: true, duplicate: false } });
	});
	await inbox.drained();
	await isBooked();
});

test('what is signed but no event is refused, and not tried on the database', async () => {
	for (const text of ['{', 'null', '[]', '{}', '{"id":"evt_1","type":"x"}', '{"id":"evt_1","type":"x","data":{"object":null}}',
		'{"type":"no.id","data":{"object":{}}}', '{"id":"","type":"x","data":{"object":{}}}', '{"id":"evt_nul","type":"x","data":{"object":{"text":"\\u0000"}}}']) {
		const { status, body } = await stripe.deliverText(app, 'stripe', text);
		assert.deepEqual([status, body.code], [400, 'event_invalid'], text);
	}
	const { status } = await stripe.deliverText(app, 'stripe', JSON.stringify({ text: 'x'.repeat(2 ** 21) }));
	assert.equal(status, 413);
});

test('an event names its tenant only where nobody else could have written that', async () => {
	const object = { id: 'pi_of_somebody', object: 'payment_intent', amount: 5000, metadata: { tenant: ANN.tenant, payment: '1' } };
	const foreign = { ...eventOf('payment_intent.succeeded', object), account: 'acct_of_somebody' };
	assert.equal((await stripe.deliver(app, 'stripe', foreign)).status, 200);
	assert.equal((await inbox.rowOf(foreign)).tenant_id, 'acct_of_somebody');
	await isGivenUp(foreign);
});

test('an event that doesn\'t fit the payment is not believed', async () => {
	const { payment, intent } = await intended(ANN);
	for (const object of [{ ...intent, amount: 1 }, { ...intent, id: 'pi_another' }]) {
		const event = eventOf('payment_intent.succeeded', object);
		await inbox.receives(event);
		await isGivenUp(event);
	}
	assert.equal((await ann.get(`/payments/${payment.id}`)).body.state, 'pending');
	await isBooked();
});

test('a worker that is killed between the effects and the completion of an event has done nothing', async () => {
	const { payment, intent } = await intended(ANN);
	const event = settled(intent);
	await inbox.receives(event);
	await doesNothing(world, async () => {
		let worker, letComplete;
		await whileLocked('SELECT FROM payments WHERE tenant = $1 AND id = $2 FOR UPDATE', [ANN.tenant, payment.id], async () => {
			worker = await world.startWorker();
			await world.blocked(1, 'ticketing_worker');
			letComplete = await world.lock('SELECT FROM webhook_inbox WHERE event_id = $1 FOR UPDATE', [event.id]);
		});
		await until('only the completion is missing', async () => (await worksOn()).some(({ query }) => query.includes('webhook_inbox_complete')))
			.finally(() => worker.kill())
			.finally(letComplete);
		await until('the database has noticed', async () => (await worksOn()).length === 0);
	});
	assert.equal((await inbox.rowOf(event)).state, 'processing');
	// the event's lease has lapsed
	const { effects } = await effectsOf(world, () => withSetting(world, 'idempotency.clock_offset', '6min', inbox.drained));
	assert.deepEqual([effects.payments, effects.events, effects.ledger], [{ added: 0, changed: 1 }, once, { added: 2, changed: 0 }]);
	const { state, attempt } = await inbox.rowOf(event);
	assert.deepEqual([state, attempt], ['processed', 2]);
});

test('no role can change what is booked, has happened or costs so much, and the worker makes nothing of its own', async () => {
	const forEach = (role, statements) => Promise.all(statements.map((statement) => (
		assert.rejects(queryAs(world, role, statement), { code: '42501' }, `${role}: ${statement}`))));
	const { rows: tables } = await sql.query(`SELECT relname FROM pg_class WHERE relnamespace = 'ticketing'::regnamespace AND relkind = 'r'`);
	for (const role of ['ticketing_app', 'ticketing_worker', 'ticketing_operator']) {
		await forEach(role, [
			'UPDATE ticketing.ledger SET amount = 0', `UPDATE ticketing.events SET type = ''`, 'UPDATE ticketing.ticket_types SET price = 0',
			'INSERT INTO ticketing.ticket_types DEFAULT VALUES', ...tables.map(({ relname }) => `DELETE FROM ticketing.${relname}`),
		]);
	}
	const made = tables.filter(({ relname }) => !['ledger', 'events'].includes(relname));
	await forEach('ticketing_worker', made.map(({ relname }) => `INSERT INTO ticketing.${relname} DEFAULT VALUES`));
	await forEach('ticketing_worker', ['usage', 'orders', 'reservations', 'refunds', 'nonces'].map((table) => `SELECT FROM ticketing.${table}`));
});

test('no role can book what doesn\'t balance, nor by a table of its own in the ledger\'s place', async () => {
	for (const role of ['ticketing_app', 'ticketing_worker']) {
		await assert.rejects(queryAs(world, role, `CREATE TEMP TABLE ledger (LIKE ticketing.ledger);
			INSERT INTO ticketing.ledger (tenant, transfer, account, amount, reference) VALUES ('acme', gen_random_uuid(), 'sales', 1, 'nothing')`), { code: '23514' });
	}
});

test('in the end the books balance, and are what the provider has really made', async () => {
	await inbox.drained();
	await isBooked();
	await assertSound(world);
});

/** Does something while rows or tables are locked. */
async function whileLocked(query, values, work) {
	const release = await world.lock(query, values);
	try {
		return await work();
	} finally {
		await release();
	}
}

/** What workers are at, or were last. */
async function worksOn() {
	const { rows } = await sql.query(`SELECT query FROM pg_stat_activity WHERE datname = current_database() AND usename = 'ticketing_worker'`);
	return rows;
}

/** Has a worker try an event until it is dead, and so does nothing. */
async function isGivenUp(event) {
	await doesNothing(world, () => withSetting(world, 'idempotency.webhook_max_attempts', '1', inbox.drained));
	assert.equal((await inbox.rowOf(event)).state, 'dead');
}
