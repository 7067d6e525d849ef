import { deepStrictEqual, strictEqual } from 'node:assert';
import { randomUUID } from 'node:crypto';
import { createRequire } from 'node:module';
import { beforeEach, test } from 'node:test';
import cors from '@fastify/cors';
import Fastify from 'fastify';
import idempotency from 'fastify-idempotency';
import { database, effect, isProblem, listen, pool } from './app.js';

const db = await database();
const other = await database('CREATE SCHEMA "Our own"; CREATE EXTENSION idempotency SCHEMA "Our own"');
beforeEach(() => db.query('TRUNCATE effects'));

const listed = (answer, name) => answer.headers[name]?.split(', ').map((each) => each.toLowerCase()).sort();

test('a browser may read the marks of a replay, wherever CORS lets it in', async () => {
	const { send } = await listen(db, async (app) => {
		await app.register(cors, { origin: 'https://shop.test', exposedHeaders: ['X-Total'] });
		app.post('/', effect);
		app.get('/', async () => ({}));
	});
	const key = randomUUID();
	const headers = { origin: 'https://shop.test' };
	for (const answer of [
		await send('/', { key, headers }),
		await send('/', { key, headers }),
		await send('/', { key: null, headers }),
		await send('/', { method: 'GET', headers }),
	]) {
		deepStrictEqual(listed(answer, 'access-control-expose-headers'), ['idempotent-replayed', 'retry-after', 'x-total']);
		strictEqual(answer.headers['access-control-allow-origin'], 'https://shop.test');
	}
});

test('without CORS no header of it is sent', async () => {
	const { send } = await listen(db, (app) => app.post('/', effect));
	deepStrictEqual(Object.keys((await send('/')).headers).filter((name) => name.startsWith('access-control')), []);
});

for (const [list, options, expected] of [
	['names other headers', { allowedHeaders: ['Content-Type'] }, ['content-type', 'idempotency-key']],
	['names the key already', { allowedHeaders: ['idempotency-key'] }, ['idempotency-key']],
	['is what the browser asks for', {}, ['content-type', 'idempotency-key']],
]) {
	test(`a preflight lets the key through, where the list of allowed headers ${list}`, async () => {
		const { send } = await listen(db, async (app) => {
			await app.register(cors, { origin: true, ...options });
			app.post('/', effect);
		});
		const preflight = await send('/', { method: 'OPTIONS', key: null, headers: {
			origin: 'https://shop.test',
			'access-control-request-method': 'POST',
			'access-control-request-headers': 'content-type,idempotency-key',
		} });
		strictEqual(preflight.status, 204);
		deepStrictEqual(preflight.headers['access-control-allow-headers'].toLowerCase().split(/, */).sort(), expected);
	});
}

test('an error handler of the application makes the answer, which is kept', async () => {
	const { send } = await listen(db, (app) => {
		app.setErrorHandler((error, request, reply) => reply.code(418).send({ made: error.message }));
		app.post('/', async (request) => {
			await request.idempotency.client.query(`INSERT INTO effects (what) VALUES ('undone')`);
			throw new Error('teapot');
		});
	});
	const key = randomUUID();
	const first = await send('/', { key });
	strictEqual(`${first.status} ${first.text}`, '418 {"made":"teapot"}');
	const again = await send('/', { key });
	strictEqual(again.text, first.text);
	strictEqual(again.replayed, true);
	deepStrictEqual(await db.effects(), []);
	isProblem(await send('/', { key: null }), 400, 'key_missing');
});

test('a fault in the plugin\'s options goes to the error handler of the application', async () => {
	const { send } = await listen(db, (app) => {
		app.setErrorHandler((error, request, reply) => reply.code(500).send({ made: error.constructor.name }));
		app.post('/', effect);
	}, { plugin: { tenant: (request) => request.account.tenant } });
	strictEqual((await send('/')).text, '{"made":"TypeError"}');
});

test('hooks of others that change the answer before are stored with it, those after are not', async () => {
	const { send } = await listen(db, (app) => {
		app.addHook('preSerialization', async (request, reply, payload) => ({ ...payload, before: true }));
		app.addHook('onSend', async (request, reply, payload) => {
			reply.header('x-run', randomUUID());
			return `${payload}!`;
		});
		app.post('/', async () => ({}));
	});
	const key = randomUUID();
	const [first, again] = [await send('/', { key }), await send('/', { key })];
	strictEqual(first.text, '{"before":true}!');
	strictEqual(again.text, first.text);
	strictEqual(again.headers['x-run'] === first.headers['x-run'], false);
	const { rows } = await db.query('SELECT response_body FROM idempotency_keys WHERE key = $1', [key]);
	strictEqual(rows[0].response_body, '{"before":true}');
});

for (const [status, sent] of [[500, 500], [400, 503]]) {
	test(`a hook that fails after the answer was stored: ${sent} where the error handler says ${status}, and the retry gets the replay`, async () => {
		let fails = true;
		const { send } = await listen(db, (app) => {
			app.setErrorHandler((error, request, reply) => reply.code(status).send({}));
			app.addHook('onSend', async (request, reply, payload) => {
				if (fails) {
					fails = false;
					throw new Error('zlib');
				}
				return payload;
			});
			app.post('/', effect);
		});
		const key = randomUUID();
		strictEqual((await send('/', { key })).status, sent);
		const again = await send('/', { key });
		strictEqual(again.status, 201);
		strictEqual(again.replayed, true);
		deepStrictEqual(await db.effects(), ['done']);
	});
}

test('the extension may be in another schema', async () => {
	const { send } = await listen(other, (app) => app.post('/', effect), { plugin: { schema: 'Our own' } });
	const key = randomUUID();
	strictEqual((await send('/', { key })).status, 201);
	strictEqual((await send('/', { key })).replayed, true);
	isProblem(await send('/', { key: null }), 400, 'key_missing');
});

test('contexts beside each other can have each its own database', async () => {
	const pools = [pool({ database: db.name }), pool({ database: other.name })];
	const app = Fastify();
	try {
		for (const [n, schema] of [[0, 'public'], [1, 'Our own']]) {
			app.register(async (context) => {
				context.register(idempotency, { pool: pools[n], tenant: () => 'acme', schema });
				// declared before the plugin is loaded
				context.post(`/${n}`, effect);
			});
		}
		app.post('/outside', async (request) => ({ protected: 'idempotency' in request && request.idempotency !== null }));
		const url = await app.listen({ port: 0, host: '127.0.0.1' });
		const headers = { 'idempotency-key': randomUUID() };
		for (const [path, replayed] of [['/0', null], ['/1', null], ['/0', 'true'], ['/1', 'true']]) {
			const answer = await fetch(url + path, { method: 'POST', headers });
			strictEqual(answer.headers.get('idempotent-replayed'), replayed);
			strictEqual(answer.status, 201);
		}
		strictEqual(await (await fetch(`${url}/outside`, { method: 'POST' })).text(), '{"protected":false}');
		deepStrictEqual([await db.effects(), await other.effects()].map(({ length }) => length > 0), [true, true]);
	} finally {
		await app.close();
		await Promise.all(pools.map((each) => each.end()));
	}
});

test('the package can be required by name as well', () => {
	strictEqual(createRequire(import.meta.url)('fastify-idempotency').default, idempotency);
});
