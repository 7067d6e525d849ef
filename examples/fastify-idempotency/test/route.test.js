import { deepStrictEqual, strictEqual } from 'node:assert';
import { randomUUID } from 'node:crypto';
import { beforeEach, test } from 'node:test';
import { database, effect, isProblem, listen } from './app.js';

const db = await database();
beforeEach(() => db.query('TRUNCATE effects'));

const row = async (key) => (await db.query(`SELECT tenant_id, scope, expires_at - now() < interval '1 hour' AS short
	FROM idempotency_keys WHERE key = $1`, [key])).rows;

test('GET passes through, with a key and without', async () => {
	const { send } = await listen(db, (app) => app.get('/', async (request) => ({ work: request.idempotency })));
	for (const key of ['k', null]) {
		strictEqual((await send('/', { key, method: 'GET' })).text, '{"work":null}');
	}
	deepStrictEqual(await row('k'), []);
});

for (const method of ['POST', 'PUT', 'PATCH', 'DELETE']) {
	test(`${method} is protected`, async () => {
		const { send } = await listen(db, (app) => app.route({ method, url: '/', handler: effect }));
		const key = randomUUID();
		isProblem(await send('/', { method, key: null }), 400, 'key_missing');
		strictEqual((await send('/', { method, key })).status, 201);
		strictEqual((await send('/', { method, key })).replayed, true);
		deepStrictEqual(await db.effects(), ['done']);
	});
}

test('an unknown path is 404, with a key and without, and nothing is stored', async () => {
	const { send } = await listen(db, (app) => app.post('/', effect));
	const key = randomUUID();
	strictEqual((await send('/nowhere', { key })).status, 404);
	strictEqual((await send('/nowhere', { key: null })).status, 404);
	deepStrictEqual(await row(key), []);
});

test('a request that its schema refuses claims nothing', async () => {
	const { send } = await listen(db, (app) => app.post('/', { schema: { body: { type: 'object', required: ['what'] } } }, effect));
	const key = randomUUID();
	strictEqual((await send('/', { key, body: {} })).status, 400);
	deepStrictEqual(await row(key), []);
	strictEqual((await send('/', { key, body: { what: 'a' } })).status, 201);
});

test('a route can stay out', async () => {
	const { send } = await listen(db, (app) => app.post('/', { config: { idempotency: false } }, async (request) => ({ work: request.idempotency })));
	strictEqual((await send('/', { key: null })).text, '{"work":null}');
});

test('keys are told apart by method and path, unless routes share a scope', async () => {
	const { send } = await listen(db, (app) => {
		app.post('/a', effect);
		app.put('/a', effect);
		app.post('/b', effect);
		app.post('/c', { config: { idempotency: { scope: 'orders' } } }, effect);
		app.post('/d', { config: { idempotency: { scope: 'orders' } } }, effect);
	});
	const key = randomUUID();
	for (const [method, path] of [['POST', '/a'], ['PUT', '/a'], ['POST', '/b'], ['POST', '/c']]) {
		strictEqual((await send(path, { key, method })).replayed, false);
	}
	strictEqual((await send('/d', { key })).replayed, true);
	deepStrictEqual((await row(key)).map(({ scope }) => scope).sort(), ['POST /a', 'POST /b', 'PUT /a', 'orders']);
});

test('the path that counts has the prefix of the context', async () => {
	const { send } = await listen(db, (app) => app.register(async (inner) => inner.post('/orders/:id', effect), { prefix: '/v1' }));
	const key = randomUUID();
	strictEqual((await send('/v1/orders/7', { key })).status, 201);
	strictEqual((await row(key))[0].scope, 'POST /v1/orders/:id');
});

test('tenants are told apart, and so are users', async () => {
	const { send } = await listen(db, (app) => app.post('/', effect));
	const key = randomUUID();
	for (const headers of [{}, { tenant: 'other' }, { user: 'ann' }, { user: 'bob' }, { tenant: 'other', user: 'ann' }]) {
		strictEqual((await send('/', { key, headers })).replayed, false, JSON.stringify(headers));
		strictEqual((await send('/', { key, headers })).replayed, true, JSON.stringify(headers));
	}
	deepStrictEqual((await row(key)).map(({ tenant_id, scope }) => `${tenant_id}: ${scope}`).sort(),
		['acme: POST /', 'acme: POST / by ann', 'acme: POST / by bob', 'other: POST /', 'other: POST / by ann']);
});

test('tenant, user and fingerprint may take their time', async () => {
	const { send } = await listen(db, (app) => app.post('/', effect), { plugin: {
		tenant: async (request) => request.headers.tenant,
		user: async (request) => request.headers.user,
		fingerprint: async (request) => request.body.what,
	} });
	const key = randomUUID();
	const headers = { tenant: 'a', user: 'u' };
	strictEqual((await send('/', { key, headers, body: { what: 'x', n: 1 } })).status, 201);
	strictEqual((await send('/', { key, headers, body: { what: 'x', n: 2 } })).replayed, true);
	isProblem(await send('/', { key, headers, body: { what: 'y', n: 1 } }), 422, 'mismatch');
	strictEqual((await send('/', { key, headers: { ...headers, tenant: 'b' }, body: { what: 'x' } })).replayed, false);
	strictEqual((await send('/', { key, headers: { ...headers, user: 'v' }, body: { what: 'x' } })).replayed, false);
});

for (const who of ['tenant', 'user']) {
	test(`an object as ${who}, which would be one name for all, is the server's fault: 500`, async () => {
		const { send } = await listen(db, (app) => app.post('/', effect), { plugin: { [who]: () => ({ id: 7 }) } });
		strictEqual((await send('/')).status, 500);
		deepStrictEqual(await db.effects(), []);
	});
}

test('a tenant that cannot be told, or a fingerprint, is the server\'s fault: 500, and the handler is not run', async () => {
	for (const plugin of [{ tenant: (request) => request.account.tenant }, { fingerprint: (request) => request }]) {
		const { send } = await listen(db, (app) => app.post('/', effect), { plugin });
		strictEqual((await send('/')).status, 500);
	}
	deepStrictEqual(await db.effects(), []);
});

test('the time that answers are kept is the route\'s, or the plugin\'s, or the database\'s', async () => {
	for (const [plugin, route, short] of [
		[{}, {}, false],
		[{ ttl: '10 min' }, {}, true],
		[{ ttl: '10 min' }, { ttl: '2 days' }, false],
		[{}, { ttl: '10 min' }, true],
	]) {
		const { send } = await listen(db, (app) => app.post('/', { config: { idempotency: route } }, effect), { plugin });
		const key = randomUUID();
		strictEqual((await send('/', { key })).status, 201);
		strictEqual((await row(key))[0].short, short);
	}
});

test('a refusal is kept as long as the route says, too', async () => {
	for (const [ttl, short] of [['2 days', false], [undefined, true]]) {
		const { send } = await listen(db, (app) => app.post('/', { config: { idempotency: { ttl } } },
			async (request, reply) => reply.code(422).send({})), { pool: { options: '-c idempotency.client_error_ttl=10min' } });
		const key = randomUUID();
		strictEqual((await send('/', { key })).status, 422);
		strictEqual((await row(key))[0].short, short);
	}
});

test('after its time an answer is gone, and the key free again', async () => {
	const { send } = await listen(db, (app) => app.post('/', effect), { plugin: { ttl: '1 hour' } });
	const key = randomUUID();
	await send('/', { key });
	const later = await listen(db, (app) => app.post('/', effect), { pool: { options: '-c idempotency.clock_offset=2h' } });
	strictEqual((await later.send('/', { key })).replayed, false);
	deepStrictEqual(await db.effects(), ['done', 'done']);
});
