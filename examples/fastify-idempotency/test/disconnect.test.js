import { deepStrictEqual, strictEqual } from 'node:assert';
import { randomUUID } from 'node:crypto';
import { request as httpRequest } from 'node:http';
import { beforeEach, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { database, effect, listen, signal, until } from './app.js';

const db = await database();
beforeEach(() => db.query('TRUNCATE effects'));

/** Sends a request whose client leaves when the test says so. */
function leaving(url, key) {
	const client = httpRequest(url, { method: 'POST', headers: { 'idempotency-key': key } });
	client.on('error', () => {});
	client.end();
	return () => client.destroy();
}

/** Handlers that find their client gone, by how they answer. */
const answers = {
	'returns a value': (reply, value) => value,
	'sends': (reply, value) => {
		reply.send(value);
		return reply;
	},
};

for (const [style, answer] of Object.entries(answers)) {
	test(`the answer of a handler that ${style} is stored and replayed though its client has left`, async () => {
		const [entered, gone] = [signal(), signal()];
		let runs = 0;
		const { url, send } = await listen(db, (app) => app.post('/', async (request, reply) => {
			runs += 1;
			request.raw.once('close', gone.give);
			entered.give();
			await gone.given;
			await request.idempotency.client.query(`INSERT INTO effects (what) VALUES ('done')`);
			return answer(reply, { run: runs });
		}));
		const key = randomUUID();
		const leave = leaving(url, key);
		await entered.given;
		leave();
		await until(async () => (await db.effects()).length === 1, 'the work is committed');
		const again = await send('/', { key });
		strictEqual(again.text, '{"run":1}');
		strictEqual(again.replayed, true);
		deepStrictEqual(await db.effects(), ['done']);
	});
}

for (const lease of [undefined, '1 h']) {
	test(`a handler that answers nothing to a client that has left ${lease ? 'gives its lease' : 'gives its connection'} back`, async () => {
		const [entered, gone] = [signal(), signal()];
		const { url, send } = await listen(db, (app) => app.post('/', async (request) => {
			request.raw.once('close', gone.give);
			if (request.idempotency.attempt === 1 && request.headers.again === undefined) {
				entered.give();
				await gone.given;
			}
			await (await request.idempotency.begin()).query(`INSERT INTO effects (what) VALUES ('done')`);
		}), { plugin: { lease }, pool: { max: 1 } });
		const key = randomUUID();
		const leave = leaving(url, key);
		await entered.given;
		leave();
		await gone.given;
		let again;
		await until(async () => {
			again = await send('/', { key, headers: { again: '1' } });
			return again.status !== 409;
		}, 'the key is given back');
		strictEqual(again.status, 200);
		strictEqual(again.replayed, false);
		deepStrictEqual(await db.effects(), ['done']);
	});
}

test('the handler is not run for a client that leaves while its replay, or a refusal, is on its way', async () => {
	const [sending, gone] = [signal(), signal()];
	let runs = 0;
	let slow = false;
	const after = signal();
	const { url, send } = await listen(db, (app) => {
		app.addHook('onSend', async (request, reply) => {
			if (slow) {
				reply.raw.once('close', gone.give);
				sending.give();
				await gone.given;
				// what waited for the reply to close has had its turn
				await setImmediate();
				await setImmediate();
				after.give();
			}
		});
		app.post('/', async (request, reply) => {
			runs += 1;
			return request.idempotency ? effect(request, reply) : {};
		});
	});
	const key = randomUUID();
	strictEqual((await send('/', { key })).status, 201);
	slow = true;
	const leave = leaving(url, key);
	await sending.given;
	leave();
	await after.given;
	strictEqual(runs, 1);
});
