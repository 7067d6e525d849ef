import { deepStrictEqual, strictEqual } from 'node:assert';
import { randomUUID } from 'node:crypto';
import { beforeEach, test } from 'node:test';
import { database, effect, handlerTimeout, listen, signal, until } from './app.js';

const db = await database();
beforeEach(() => db.query('TRUNCATE effects'));

for (const [mode, plugin] of [['in one transaction', {}], ['under a lease', { lease: '1 h' }]]) {
	test(`of 20 duplicates at once, ${mode}, one is worked on, and the others are told so or get its answer`, async () => {
		const { send } = await listen(db, (app) => app.post('/', async (request, reply) => {
			await request.idempotency.begin();
			return effect(request, reply);
		}), { plugin });
		const key = randomUUID();
		const answers = await Promise.all(Array.from({ length: 20 }, () => send('/', { key })));
		const worked = answers.filter(({ status, replayed }) => status === 201 && !replayed);
		strictEqual(worked.length, 1);
		for (const { status, text, replayed } of answers) {
			strictEqual(replayed ? text : '', replayed ? worked[0].text : '');
			strictEqual([201, 409].includes(status), true, String(status));
		}
		deepStrictEqual(await db.effects(), ['done']);
		strictEqual((await send('/', { key })).text, worked[0].text);
	});

	test(`duplicates that wait, ${mode}, get the answer of the first as soon as it is there`, async () => {
		const [entered, leave] = [signal(), signal()];
		const { send, pool } = await listen(db, (app) => app.post('/', async (request, reply) => {
			entered.give();
			await leave.given;
			await request.idempotency.begin();
			return effect(request, reply);
		}), { plugin: { ...plugin, wait: '1 min' } });
		const key = randomUUID();
		const first = send('/', { key });
		await entered.given;
		const others = [send('/', { key }), send('/', { key })];
		const waiting = plugin.lease ? 2 : 3;
		await until(() => pool.totalCount - pool.idleCount === waiting, 'both wait in the database');
		leave.give();
		const { text, status } = await first;
		strictEqual(status, 201);
		for (const other of await Promise.all(others)) {
			strictEqual(other.text, text);
			strictEqual(other.replayed, true);
		}
		deepStrictEqual(await db.effects(), ['done']);
	});
}

for (const [mode, plugin] of [['in one transaction', {}], ['under a lease', { lease: '1 h' }]]) {
	test(`a duplicate that waits, ${mode}, and is given up by handlerTimeout, gives back what it gets then`, async (t) => {
		const timeout = handlerTimeout(t);
		const [entered, leave] = [signal(), signal()];
		const attempts = [];
		const { send, pool } = await listen(db, (app) => app.post('/', async (request, reply) => {
			attempts.push(request.idempotency.attempt);
			if (attempts.length === 1) {
				entered.give();
				await leave.given;
				throw new Error('no');
			}
			await request.idempotency.begin();
			return effect(request, reply);
		}), { plugin: { ...plugin, wait: '1 min' }, fastify: { handlerTimeout: timeout.milliseconds } });
		const key = randomUUID();
		const first = send('/', { key });
		await entered.given;
		const second = send('/', { key });
		const connections = plugin.lease ? 1 : 2;
		await until(() => pool.totalCount - pool.idleCount === connections, 'it waits in the database');
		timeout.come();
		strictEqual((await second).status, 503);
		leave.give();
		strictEqual((await first).status, 500);
		await until(() => pool.totalCount === pool.idleCount, 'it has given back what it got');
		strictEqual((await send('/', { key })).status, 201);
		deepStrictEqual(attempts.length, 2);
		deepStrictEqual(await db.effects(), ['done']);
	});
}

test('different keys are worked on side by side', async () => {
	const all = signal();
	let inside = 0;
	const { send } = await listen(db, (app) => app.post('/', async (request, reply) => {
		inside += 1;
		if (inside === 3) {
			all.give();
		}
		await all.given;
		return effect(request, reply);
	}));
	const answers = await Promise.all([send('/'), send('/'), send('/')]);
	deepStrictEqual(answers.map(({ status }) => status), [201, 201, 201]);
});
