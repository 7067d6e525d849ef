import { deepStrictEqual, strictEqual } from 'node:assert';
import { randomUUID } from 'node:crypto';
import { beforeEach, test } from 'node:test';
import { database, effect, handlerTimeout, isProblem, listen, signal, until } from './app.js';

const db = await database();
beforeEach(() => db.query('TRUNCATE effects'));

const lookup = async (key) => (await db.query(`SELECT state, attempt, recovery_point, recovery_data, lease_expires_at
	FROM idempotency_lookup('acme', $1, 'POST /pay')`, [key])).rows[0];

/** The end of the lease comes without waiting for it. */
const lapse = (key) => db.query('UPDATE idempotency_keys SET lease_expires_at = now() WHERE key = $1', [key]);

const listenPay = (handler, config = {}, options) =>
	listen(db, (app) => app.post('/pay', { config: { idempotency: { lease: '10 min', ...config } } }, handler), options);

test('the claim is committed before the handler runs, and no connection is held meanwhile', async () => {
	const key = randomUUID();
	const { send, pool } = await listenPay(async (request) => {
		strictEqual(request.idempotency.client, undefined);
		return { ...await lookup(key), held: pool.totalCount - pool.idleCount };
	});
	const { state, held } = (await send('/pay', { key })).json();
	deepStrictEqual({ state, held }, { state: 'in_progress', held: 0 });
	strictEqual((await lookup(key)).state, 'completed');
});

test('the transaction that begin opens commits with the answer', async () => {
	const { send } = await listenPay(async (request, reply) => {
		await request.idempotency.begin();
		return effect(request, reply);
	});
	const key = randomUUID();
	const first = await send('/pay', { key });
	strictEqual(first.status, 201);
	const again = await send('/pay', { key });
	strictEqual(again.text, first.text);
	strictEqual(again.replayed, true);
	deepStrictEqual(await db.effects(), ['done']);
});

test('the transaction that begin opens is undone where the handler refuses, and the answer is kept', async () => {
	const { send } = await listenPay(async (request) => {
		const client = await request.idempotency.begin();
		await client.query(`INSERT INTO effects (what) VALUES ('undone')`);
		throw Object.assign(new Error('declined'), { statusCode: 402 });
	});
	const key = randomUUID();
	strictEqual((await send('/pay', { key })).status, 402);
	strictEqual((await send('/pay', { key })).replayed, true);
	deepStrictEqual(await db.effects(), []);
});

test('begin opens one transaction, however often it is called, also where one is open anyway', async () => {
	for (const lease of ['10 min', undefined]) {
		const { send } = await listenPay(async ({ idempotency }) => {
			const clients = [...await Promise.all([idempotency.begin(), idempotency.begin()]), await idempotency.begin()];
			const pids = [];
			for (const client of clients) {
				pids.push((await client.query('SELECT pg_backend_pid() AS pid')).rows[0].pid);
			}
			return { connections: new Set(pids).size };
		}, { lease });
		deepStrictEqual((await send('/pay')).json(), { connections: 1 });
	}
});

test('a retry after a failure resumes from the checkpoint', async () => {
	const seen = [];
	const { send } = await listenPay(async ({ idempotency }) => {
		const { attempt, recoveryPoint, recoveryData } = idempotency;
		seen.push({ attempt, recoveryPoint, recoveryData });
		if (attempt === 1) {
			await idempotency.checkpoint('charging', { key: 'ch_1' });
			throw new Error('provider is down');
		}
		return {};
	});
	const key = randomUUID();
	strictEqual((await send('/pay', { key })).status, 500);
	strictEqual((await send('/pay', { key })).status, 200);
	deepStrictEqual(seen, [
		{ attempt: 1, recoveryPoint: null, recoveryData: null },
		{ attempt: 2, recoveryPoint: 'charging', recoveryData: { key: 'ch_1' } },
	]);
});

test('a checkpoint is seen by others at once, and by the handler itself', async () => {
	const key = randomUUID();
	const { send } = await listenPay(async ({ idempotency }) => {
		await idempotency.checkpoint('sent');
		const { recovery_point, recovery_data } = await lookup(key);
		return { recovery_point, recovery_data, recoveryPoint: idempotency.recoveryPoint };
	});
	deepStrictEqual((await send('/pay', { key })).json(), { recovery_point: 'sent', recovery_data: null, recoveryPoint: 'sent' });
});

test('a holder whose lease lapsed is refused: 409, and its writes are rolled back', async () => {
	const [entered, leave] = [signal(), signal()];
	const { send } = await listenPay(async (request, reply) => {
		await request.idempotency.begin();
		if (request.idempotency.attempt === 1) {
			await request.idempotency.client.query(`INSERT INTO effects (what) VALUES ('late')`);
			entered.give();
			await leave.given;
		}
		return effect(request, reply);
	});
	const key = randomUUID();
	const slow = send('/pay', { key });
	await entered.given;
	await lapse(key);
	const second = await send('/pay', { key });
	strictEqual(second.status, 201);
	strictEqual(second.json().attempt, 2);
	leave.give();
	isProblem(await slow, 409, 'claim_lost');
	deepStrictEqual(await db.effects(), ['done']);
	strictEqual((await send('/pay', { key })).text, second.text);
});

test('a checkpoint of a holder whose lease lapsed is refused: 409', async () => {
	const [entered, leave] = [signal(), signal()];
	const { send } = await listenPay(async ({ idempotency }) => {
		if (idempotency.attempt === 1) {
			entered.give();
			await leave.given;
			await idempotency.checkpoint('late');
		}
		return {};
	});
	const key = randomUUID();
	const slow = send('/pay', { key });
	await entered.given;
	await lapse(key);
	strictEqual((await send('/pay', { key })).status, 200);
	leave.give();
	isProblem(await slow, 409, 'claim_lost');
});

test('a heartbeat and a checkpoint take the lease of the route anew', async () => {
	const key = randomUUID();
	const { send } = await listenPay(async ({ idempotency }) => {
		const remaining = [];
		for (const extend of [() => idempotency.heartbeat(), () => idempotency.checkpoint('p')]) {
			await db.query(`UPDATE idempotency_keys SET lease_expires_at = now() + interval '1 second' WHERE key = $1`, [key]);
			await extend();
			remaining.push((await lookup(key)).lease_expires_at > new Date(Date.now() + 300_000));
		}
		return remaining;
	});
	deepStrictEqual((await send('/pay', { key })).json(), [true, true]);
});

test('a hijacked reply gives its lease back', async () => {
	const { send } = await listenPay(async (request, reply) => {
		reply.hijack();
		reply.raw.end(`attempt ${request.idempotency.attempt}`);
	});
	const key = randomUUID();
	await send('/pay', { key });
	await until(async () => (await lookup(key)).state === 'released', 'the lease is given back');
	strictEqual((await send('/pay', { key })).text, 'attempt 2');
});

test('begin that comes after the handler was given up does not keep its connection', async (t) => {
	const timeout = handlerTimeout(t);
	const [begun, failed] = [signal(), signal()];
	const { send, pool } = await listenPay(async ({ idempotency }) => {
		const held = await pool.connect();
		const begin = idempotency.begin();
		begun.give(held);
		timeout.come();
		await begin.catch((error) => failed.give(error.code));
	}, {}, { pool: { max: 1 }, fastify: { handlerTimeout: timeout.milliseconds } });
	const key = randomUUID();
	const answer = send('/pay', { key });
	const held = await begun.given;
	await until(() => pool.waitingCount === 2, 'the timeout is being stored');
	held.release();
	strictEqual((await answer).status, 503);
	strictEqual(await failed.given, 'claim_lost');
});
