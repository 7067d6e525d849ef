import { deepStrictEqual, ok, strictEqual } from 'node:assert';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { Problem } from '../problem.js';
import { database, effect, isProblem, listen, signal } from './app.js';

const db = await database();
const orders = (app) => app.post('/orders', effect);

/** A request whose handler stays in it until the test lets it go. */
async function held(options) {
	const [entered, leave] = [signal(), signal()];
	const it = await listen(db, (app) => app.post('/orders', async (request, reply) => {
		entered.give();
		await leave.given;
		await request.idempotency.begin();
		return effect(request, reply);
	}), options);
	const key = randomUUID();
	const first = it.send('/orders', { key });
	await entered.given;
	return { ...it, key, first, leave: leave.give };
}

for (const [mode, plugin] of [['an open transaction', {}], ['a lease', { lease: '1 h' }]]) {
	test(`a duplicate of a request that is worked on in ${mode} gets 409 with Retry-After, and its retry the answer`, async () => {
		const { send, key, first, leave } = await held({ plugin });
		const refused = await send('/orders', { key });
		isProblem(refused, 409, 'in_progress');
		ok(Number(refused.headers['retry-after']) >= 1);
		leave();
		const again = await first.then(() => send('/orders', { key }));
		strictEqual(again.text, (await first).text);
		strictEqual(again.status, 201);
		strictEqual(again.replayed, true);
	});
}

test('Retry-After is what the database says: the longer the first takes, the longer', async () => {
	const { send, key, first, leave } = await held({ plugin: { lease: '1 h' } });
	// a token is the time of its claim
	await db.query(`UPDATE idempotency_keys SET token = token - 100 * 1000000 WHERE key = $1`, [key]);
	const refused = await send('/orders', { key });
	isProblem(refused, 409, 'in_progress');
	ok(Number(refused.headers['retry-after']) >= 100);
	leave();
	await first;
});

for (const [what, first, second] of [
	['body', { body: { what: 'a' } }, { body: { what: 'b' } }],
	['query', { path: '/orders/1?seat=1' }, { path: '/orders/1?seat=2' }],
	['path parameter', { path: '/orders/1' }, { path: '/orders/2' }],
]) {
	test(`another ${what} under the same key gets 422, which does not replace the answer`, async () => {
		const { send } = await listen(db, (app) => app.post('/orders/:id', effect));
		const key = randomUUID();
		const before = (await db.effects()).length;
		const answer = await send(first.path ?? '/orders/1', { key, ...first });
		isProblem(await send(second.path ?? '/orders/1', { key, ...second }), 422, 'mismatch');
		const again = await send(first.path ?? '/orders/1', { key, ...first });
		strictEqual(again.text, answer.text);
		strictEqual(again.replayed, true);
		strictEqual((await db.effects()).length, before + 1);
	});
}

test('the spelling of a body makes no difference, its bytes do where it is a Buffer', async () => {
	const { send } = await listen(db, (app) => {
		orders(app);
		app.addContentTypeParser('application/octet-stream', { parseAs: 'buffer' }, (request, body, done) => done(null, body));
	});
	const key = randomUUID();
	const json = (raw) => send('/orders', { key, raw });
	strictEqual((await json('{"what":"a","n":1}')).status, 201);
	strictEqual((await json('{ "n": 1.0, "what": "a" }')).replayed, true);
	const other = randomUUID();
	const bytes = (raw) => send('/orders', { key: other, raw, headers: { 'content-type': 'application/octet-stream' } });
	strictEqual((await bytes(Buffer.from([1, 2]))).status, 201);
	strictEqual((await bytes(Buffer.from([1, 2]))).replayed, true);
	isProblem(await bytes(Buffer.from([1, 3])), 422, 'mismatch');
});

test('a body that no database can compare is refused with 400', async () => {
	const { send } = await listen(db, orders);
	isProblem(await send('/orders', { body: { what: 'a\0b' } }), 400, 'request_invalid');
});

test('a retry that comes after the answer has expired gets 410 where keys leave tombstones', async () => {
	const settings = '-c idempotency.tombstone_ttl=1d';
	const { send } = await listen(db, orders, { pool: { options: settings } });
	const key = randomUUID();
	strictEqual((await send('/orders', { key })).status, 201);
	const tomorrow = await listen(db, orders, { pool: { options: `${settings} -c idempotency.clock_offset=25h` } });
	const before = (await db.effects()).length;
	isProblem(await tomorrow.send('/orders', { key }), 410, 'gone');
	strictEqual((await db.effects()).length, before);
});

test('a role that is pinned to one tenant gets 403 for another', async () => {
	const { send } = await listen(db, orders, { pool: { options: '-c idempotency.tenant=acme' } });
	isProblem(await send('/orders', { headers: { tenant: 'other' } }), 403, 'forbidden');
	strictEqual((await send('/orders', { headers: { tenant: 'acme' } })).status, 201);
});

test('a tenant that is missing is refused with 400, one that is too long as well', async () => {
	const { send } = await listen(db, orders, { plugin: { tenant: (request) => request.headers.tenant } });
	isProblem(await send('/orders'), 400, 'request_invalid');
	isProblem(await send('/orders', { headers: { tenant: 't'.repeat(256) } }), 400, 'request_invalid');
});

test('a problem of the client tells how long answers are kept, by the settings and by the route', async () => {
	const { send } = await listen(db, (app) => {
		orders(app);
		app.post('/short', { config: { idempotency: { ttl: '5 min', lease: '10 s' } } }, async () => ({}));
	}, { pool: { options: '-c idempotency.lease=7min -c idempotency.success_ttl=3h -c idempotency.client_error_ttl=2h' } });
	deepStrictEqual((await send('/orders', { key: null })).json().retention, { processing: '7min', success: '3h', client_error: '2h' });
	deepStrictEqual((await send('/short', { key: null })).json().retention, { processing: '10 s', success: '5 min', client_error: '5 min' });
});

test('an option that the database refuses is the server\'s fault: 500, and the handler is not run', async () => {
	const { send } = await listen(db, orders, { plugin: { ttl: 'soon' } });
	const before = (await db.effects()).length;
	const refused = await send('/orders');
	isProblem(refused, 500, 'failed');
	strictEqual(refused.text.includes('soon'), false);
	strictEqual((await db.effects()).length, before);
});

test('a problem is sent as it is, whatever serializer the route has', async () => {
	const { send } = await listen(db, (app) => {
		app.addHook('onRequest', async (request, reply) => {
			reply.serializer(() => 'spoilt');
		});
		orders(app);
	});
	isProblem(await send('/orders', { key: null }), 400, 'key_missing');
});

for (const error of [
	Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }),
	Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' }),
	new Error('Connection terminated unexpectedly'),
	Object.assign(new Error('canceling statement due to statement timeout'), { code: '57014', severity: 'ERROR' }),
	Object.assign(new Error('could not serialize access'), { code: '40001', severity: 'ERROR' }),
	Object.assign(new Error('cannot execute UPDATE in a read-only transaction'), { code: '25006', severity: 'ERROR' }),
]) {
	test(`"${error.message}" is 503: try again`, () => {
		const { statusCode, code, retryAfter } = Problem.of(error);
		deepStrictEqual({ statusCode, code, retryAfter }, { statusCode: 503, code: 'unavailable', retryAfter: 1 });
	});
}
