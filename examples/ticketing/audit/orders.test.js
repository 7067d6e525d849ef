import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { v5 } from 'uuid';
import { deterministic, NAMESPACE, random, timeStamped } from '../keys.js';
import { checksOf } from './checks.js';
import { clientOf } from './client.js';
import { crowd } from './crowd.js';
import { queryAs, rowOf, rowsOf, seconds } from './key.js';
import { later, withApp, withSetting } from './later.js';
import { ordersOf } from './orders.js';
import { ANN, assertProblem, protectionOf } from './protection.js';
import { changingRoutes, routeOf } from './routes.js';
import { doesNothing, effectsOf } from './state.js';
import { storeOf } from './store.js';
import { until } from './until.js';
import { startWorld } from './world.js';

const { check, complete } = checksOf('orders');
const world = await startWorld();
const ann = clientOf(world.apps[0]);
const { trials, ordered, reserved, soldOut, unpaid, lived, eventsOf, moved } = ordersOf(world);
const keys = storeOf(world, 'idempotency_keys');

/** Each route that changes something. */
const routes = Object.fromEntries(Object.entries(trials).map(([name, prepare]) => [name, protectionOf(world, prepare)]));
const { create, reserve, cancel, refund, partialRefund, modify, upgrade } = routes;

check('IK1', async () => {
	for (const route of Object.values(routes)) {
		await route.needsKey();
	}
});
check('IK2', () => create.refusesKeys('not-a-uuid-but-long-enough', '123e4567-e89b-12d3-a456-42661417400g', '123e4567e89b12d3a456426614174000'));
check('IK3', () => assertLengths({ good: 16, bad: 15 }));
check('IK4', () => assertLengths({ good: 255, bad: 256 }));
check('IK5', create.countsForUser);
check('IK6', async () => {
	const origin = 'https://shop.example';
	const preflight = await fetch(`${world.apps[0].url}/orders`, {
		method: 'OPTIONS',
		headers: { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'authorization, content-type, idempotency-key' },
	});
	assert(preflight.ok);
	assert.equal(preflight.headers.get('access-control-allow-origin'), origin);
	assert(names(preflight, 'access-control-allow-headers').includes('idempotency-key'));
	const { body, path } = await trials.create(ANN);
	const answer = await ann.send('POST', path, { body, key: randomUUID(), headers: { origin } });
	assert.equal(answer.status, 201);
	assert.deepEqual(names(answer, 'access-control-expose-headers').sort(), ['idempotent-replayed', 'retry-after']);
});

check('RL1', async () => {
	await create.isProtected();
	const trial = await trials.create(ANN);
	const { body } = await create.works(trial);
	assert.deepEqual(body, { id: body.id, ...trial.body, total: 10_000, refunded: 0, state: 'created' });
	assert.deepEqual((await ann.get(`/orders/${body.id}`)).body, body);
});
check('RL2', () => assertMoves(reserve, 'reserve', { paid: 10_000, left: -2 }));
check('RL3', () => assertMoves(cancel, 'cancel', { paid: -10_000, left: 2 }));
check('RL4', () => assertMoves(refund, 'refund', { paid: -10_000, left: 2 }));
check('RL5', async () => {
	await partialRefund.isProtected();
	const trial = await trials.partialRefund(ANN);
	assert.deepEqual(await moved(() => partialRefund.works(trial)), { paid: -1000, left: 0 });
	const path = `/orders/${await reserved(ANN)}/partial-refund`;
	const { status } = await ann.post(path, { amount: 6000 });
	assert.equal(status, 200);
	assertProblem(await doesNothing(world, () => ann.post(path, { amount: 6000 })), 409, 'refund_too_large');
});
check('RL6', async () => {
	await modify.isProtected();
	const { body } = await modify.works(await trials.modify(ANN));
	assert.deepEqual([body.quantity, body.total], [5, 25_000]);
});
check('RL7', async () => {
	await upgrade.isProtected();
	const trial = await trials.upgrade(ANN);
	assert.deepEqual(await moved(() => upgrade.works(trial)), { paid: 8000, left: 0 });
	assertProblem(await doesNothing(world, () => upgrade.send(trial, randomUUID())), 409, 'no_upgrade');
});
check('RL8', async () => {
	const id = await ordered(ANN);
	const key = randomUUID();
	for (const sent of [undefined, key, key, 'no key at all']) {
		const { status, body, headers } = await doesNothing(world, () => ann.send('GET', `/orders/${id}`, { key: sent }));
		assert.deepEqual([status, body.id, headers.get('idempotent-replayed')], [200, id, null]);
	}
	assert.deepEqual(await rowsOf(world, key), []);
});
check('RL9', async () => {
	const covered = [];
	for (const [name, route] of Object.entries(routes)) {
		const trial = await trials[name](ANN);
		const key = randomUUID();
		const unknown = { headers: { authorization: 'Bearer nobody' } };
		assert.equal((await doesNothing(world, () => route.send(trial, undefined, unknown))).status, 401);
		assert.equal((await doesNothing(world, () => route.send(trial, key, unknown))).status, 401);
		assert.deepEqual(await rowsOf(world, key), []);
		assert.equal((await doesNothing(world, () => route.send(trial, undefined))).status, 400);
		const { effects } = await effectsOf(world, () => route.works(trial, key));
		assert.deepEqual(effects.usage, { added: 1, changed: 0 });
		await doesNothing(world, () => route.send(trial, key));
		assert.equal((await doesNothing(world, () => route.send(trial, key, unknown))).status, 401);
		covered.push(routeOf(trial));
	}
	assert.deepEqual(covered.sort(), await changingRoutes('/orders'));
});

check('RC1', async () => {
	const key = randomUUID();
	assert.equal(await keysHeld(), 0);
	await create.inProgress(ANN, key, await trials.create(ANN), async ([other]) => {
		assertProblem(other, 409, 'idempotency_in_progress');
		assert.equal(await keysHeld(), 1);
		assert.deepEqual(await rowsOf(world, key), []);
	}, 2);
	assert.equal(await keysHeld(), 0);
	assert.equal((await rowOf(world, key)).response_status, 201);
});
check('RC2', create.isExclusive);
check('RC3', create.isKeptForADay);
check('RC4', () => reserve.keepsRefusals(soldOut));
check('RC5', create.isRetriedAfterFailure);
check('RC6', async () => {
	await assertWindow({ lease: 30 });
	await withSetting(world, 'idempotency.lease', '10min', () => assertWindow({ lease: 10 }));
});
check('RC7', create.needsNoCache);

check('DB1', async () => {
	const key = randomUUID();
	const { status, text } = await create.works(await trials.create(ANN), key);
	const row = await rowOf(world, key);
	assert.deepEqual([row.tenant_id, row.scope, row.key, row.response_status], ['acme', 'POST /orders by ann', key, status]);
	assert.equal(row.response_body, text);
});
check('DB2', async () => {
	await create.isExclusive();
	await keys.isUnique('tenant_id', 'scope', 'key');
});
check('DB3', async () => {
	await keys.everyUniqueIndexBeginsWithTenant();
	await create.countsForTenant();
});
check('DB4', async () => {
	const key = randomUUID();
	const { text } = await create.works(await trials.create(ANN), key);
	const look = (tenant) => queryAs(world, 'ticketing_operator',
		'SELECT state, response_status, response_body FROM idempotency_lookup($1, $2, $3)', [tenant, key, 'POST /orders by ann']);
	assert.deepEqual(await look('acme'), [{ state: 'completed', response_status: 201, response_body: text }]);
	assert.deepEqual(await look('globex'), []);
});
check('DB5', create.survivesRestart);
check('DB6', async () => {
	const trial = await trials.cancel(ANN);
	const key = randomUUID();
	let inProgress;
	await cancel.inProgress(ANN, key, trial, async ([other]) => { inProgress = other; }, 2);
	const codes = [inProgress, await cancel.send({ ...trial, ...trial.another }, key), await cancel.send(trial, randomUUID())].map(({ body }) => body.code);
	assert.deepEqual(codes, ['idempotency_in_progress', 'idempotency_mismatch', 'wrong_state']);
});

check('EV1', async () => {
	const { id, keys: sent } = await lived();
	const events = await eventsOf(id);
	assert.deepEqual(events.map((event) => event.idempotency_key), sent);
	assert.equal(new Set(events.map((event) => event.key)).size, sent.length);
});
check('EV2', async () => {
	const { id } = await lived();
	for (const { key, sequence, type } of await eventsOf(id)) {
		assert.equal(key, await derived(NAMESPACE, 'acme', `order:${id}`, sequence, type));
	}
});
check('EV3', async () => {
	const { id } = await lived();
	assert.deepEqual((await eventsOf(id)).map(({ sequence, type }) => [sequence, type]), [
		['1', 'order.created'], ['2', 'order.modified'], ['3', 'order.reserve'], ['4', 'order.upgrade'], ['5', 'order.partial-refund'], ['6', 'order.cancel'],
	]);
	const contended = await reserved(ANN);
	const answers = await crowd(world, { lock: 'SELECT FROM orders WHERE id = $1 FOR UPDATE', values: [contended], size: 8 },
		(to) => clientOf(to).post(`/orders/${contended}/partial-refund`, { amount: 100 }));
	assert.deepEqual(answers.map(({ status }) => status), Array(8).fill(200));
	assert.deepEqual((await eventsOf(contended)).map(({ sequence }) => Number(sequence)), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
});
check('EV4', async () => {
	const cart = randomUUID();
	const made = { 5: () => deterministic('acme', 'cart', cart), 4: random, 7: timeStamped };
	for (const [version, make] of Object.entries(made)) {
		const key = make();
		assert.equal(key[14], version);
		const trial = await trials.create(ANN);
		await create.works(trial, key);
		const again = make();
		assert.equal(again === key, version === '5');
		assert.equal((await create.send(trial, again)).headers.get('idempotent-replayed'), version === '5' ? 'true' : null);
		assert(version !== '7' || again > key);
	}
});
check('EV5', async () => {
	const { id } = await lived();
	const [{ key }] = await eventsOf(id);
	const parts = ['acme', `order:${id}`, '1', 'order.created'];
	const spelled = parts.map((part) => part.replace(':', '\\:')).join(':');
	assert.equal(key, v5(spelled, NAMESPACE));
	for (const other of [v5.URL, v5.DNS]) {
		assert.notEqual(await derived(other, ...parts), key);
	}
});

check('ER1', cancel.needsKey);
check('ER2', () => refund.refusesKeys('"not closed', `${randomUUID()}, ${randomUUID()}`, 'two words', `"${randomUUID()}" rest`, '12345678'));
check('ER3', refund.isExclusive);
check('ER4', async () => {
	await create.isReplayed();
	await upgrade.isReplayed();
});
check('ER5', async () => {
	const trial = await trials.create(ANN);
	const key = randomUUID();
	await create.works(trial, key);
	const { path, body } = trial;
	assertProblem(await ann.send('POST', path, { body }), 400, 'idempotency_key_missing');
	assertProblem(await ann.post(path, body, 'nonsense'), 400, 'idempotency_key_invalid');
	assertProblem(await ann.post(path, { ...body, quantity: 9 }, key), 422, 'idempotency_mismatch');
	assertProblem(await ann.post(path, { ...body, quantity: 0 }), 400, 'FST_ERR_VALIDATION');
	assertProblem(await ann.post(path, { ...body, type: 2 ** 31 - 1 }), 404, 'no_such_type');
	assertProblem(await ann.post(`/orders/${await ordered(ANN)}/refund`), 409, 'wrong_state');
	assertProblem(await ann.get(`/orders/${2 ** 31 - 1}`), 404, 'no_such_order');
});
check('ER6', async () => {
	const trial = await trials.create(ANN);
	const key = randomUUID();
	await create.inProgress(ANN, key, trial, async () => {}, 2);
	await create.send(trial, key);
	await create.send({ ...trial, ...trial.another }, key);
	await until('each duplicate is logged', () => {
		const logged = world.apps.flatMap(({ log }) => log).filter((line) => line.includes(key)).map((line) => JSON.parse(line).idempotency?.outcome);
		return ['claimed', 'in_progress', 'mismatch', 'replay'].every((outcome) => logged.filter((one) => one === outcome).length === 1);
	});
});

check('SI1', async () => {
	const key = randomUUID();
	const { body } = await create.works(await trials.create(ANN), key);
	const { rows } = await world.sql.query('SELECT id, tenant, user_id FROM orders WHERE idempotency_key = $1', [key]);
	assert.deepEqual(rows, [{ id: body.id, tenant: 'acme', user_id: 'ann' }]);
});
check('SI2', async () => {
	const key = randomUUID();
	const trial = await trials.reserve(ANN);
	await reserve.works(trial, `"${key}"`);
	const { rows } = await world.sql.query('SELECT type, aggregate FROM events WHERE idempotency_key = $1', [key]);
	assert.deepEqual(rows, [{ type: 'order.reserve', aggregate: `order:${trial.path.split('/')[2]}` }]);
});
check('SI3', async () => {
	for (const [name, route] of Object.entries(routes)) {
		const key = randomUUID();
		const { status, text, headers } = await route.works(await trials[name](ANN), key);
		const row = await rowOf(world, key);
		assert.deepEqual([row.response_status, row.response_body, row.response_headers['content-type']], [status, text, headers.get('content-type')]);
	}
});
check('SI4', create.acceptsKey);
check('SI5', async () => {
	for (const key of ['not-a-uuid-but-long-enough', '', null]) {
		await assert.rejects(queryAs(world, 'ticketing_app', `SELECT idempotency_claim('acme', $1)`, [key]), { code: key ? 'IK002' : 'IK001' });
	}
	const { body } = await ann.post('/orders', (await trials.create(ANN)).body, 'not-a-uuid-but-long-enough');
	assert.match(body.detail, /not a UUID/);
});

check('TT1', () => assertWindow({ lease: 30 }));
check('TT2', cancel.isKeptForADay);
check('TT3', () => refund.keepsRefusals(unpaid));
check('TT4', async () => {
	const trial = await trials.create(ANN);
	const key = randomUUID();
	const told = [];
	await create.inProgress(ANN, key, trial, async (others) => { told.push(...others); }, 2);
	told.push(await create.send({ ...trial, ...trial.another }, key), await create.send(trial, undefined), await create.send(trial, 'nonsense'));
	assert.deepEqual(told.map(({ status }) => status), [409, 422, 400, 400]);
	for (const { body } of told) {
		assert.deepEqual(body.retention, { processing: '30min', success: '24h', client_error: '1h' });
	}
});
check('TT5', async () => {
	const key = randomUUID();
	const { rows: [{ now: before }] } = await world.sql.query('SELECT clock_timestamp() AS now');
	await create.works(await trials.create(ANN), key);
	const { rows: [{ now: after }] } = await world.sql.query('SELECT clock_timestamp() AS now');
	const { created_at, completed_at } = await rowOf(world, key);
	const times = [before, created_at, completed_at, after].map(Number);
	assert.deepEqual(times, times.toSorted((a, b) => a - b));
});

complete();

/** What anybody derives who has the database and not this application's code. */
async function derived(...parts) {
	const { rows: [{ key }] } = await world.sql.query('SELECT idempotency_derive_key($1, VARIADIC $2) AS key', [parts[0], parts.slice(1).map(String)]);
	return key;
}

/** A route is protected, moves money and tickets as it should, and only once, also if it is asked again under another key. */
async function assertMoves(route, name, expected) {
	await route.isProtected();
	const trial = await trials[name](ANN);
	assert.deepEqual(await moved(() => route.works(trial)), expected);
	assertProblem(await doesNothing(world, () => route.send(trial, randomUUID())), 409, 'wrong_state');
}

/** Which keys are too short or too long, where any form is allowed. */
async function assertLengths({ good, bad }) {
	await withSetting(world, 'idempotency.key_format', 'any', () => withApp(world, async (to) => {
		const trial = await trials.reserve(ANN);
		assertProblem(await doesNothing(world, () => reserve.send(trial, 'k'.repeat(bad), { to })), 400, 'idempotency_key_invalid');
		await reserve.works(trial, 'k'.repeat(good), { to });
	}));
}

/** How many keys are held by open transactions. */
async function keysHeld() {
	const { rows } = await world.sql.query(
		`SELECT FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 7648 AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`);
	return rows.length;
}

/** What is left of a request whose process has died after it had claimed the key. */
async function abandoned(key) {
	await queryAs(world, 'ticketing_app', `SELECT idempotency_claim('acme', $1, scope => 'POST /orders by ann')`, [key]);
	return rowOf(world, key);
}

/** A request that is not heard of again is in progress for so many minutes, and then its retry takes over. */
async function assertWindow({ lease }) {
	const trial = await trials.create(ANN);
	const key = randomUUID();
	const { created_at, lease_expires_at } = await abandoned(key);
	assert.equal(seconds(created_at, lease_expires_at), lease * 60);
	await later(world, `${lease - 1}min`, async (to) => {
		const answer = await doesNothing(world, () => create.send(trial, key, { to }));
		assertProblem(answer, 409, 'idempotency_in_progress');
		assert(Number(answer.headers.get('retry-after')) <= 60);
		assert.equal(answer.body.retention.processing, `${lease}min`);
	});
	await later(world, `${lease + 1}min`, (to) => create.works(trial, key, { to }));
	assert.equal((await rowOf(world, key)).attempt, 2);
}

function names({ headers }, list) {
	return headers.get(list).toLowerCase().split(/\s*,\s*/);
}
