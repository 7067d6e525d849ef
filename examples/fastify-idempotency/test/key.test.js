import { strictEqual, match } from 'node:assert';
import { request } from 'node:http';
import { test } from 'node:test';
import { database, effect, isProblem, listen } from './app.js';

const db = await database();
const app = (options) => listen(db, (it) => it.post('/orders', effect), options);

test('a bare key, and the same as a string of RFC 9651, with and without parameters, are one key', async () => {
	const { send } = await app();
	const first = await send('/orders', { key: 'abc' });
	strictEqual(first.status, 201);
	for (const key of ['abc', '"abc"', '"abc"; v=1', '  "abc"  ']) {
		const again = await send('/orders', { key });
		strictEqual(again.text, first.text, key);
		strictEqual(again.replayed, true, key);
	}
});

test('a string keeps its spaces, commas and escaped quotes', async () => {
	const { send } = await app();
	const first = await send('/orders', { key: '"a, \\"b\\" c"' });
	strictEqual(first.status, 201);
	strictEqual((await send('/orders', { key: '"a, \\"b\\" c"' })).replayed, true);
	const { rows } = await db.query(`SELECT count(*)::int FROM idempotency_keys WHERE key = 'a, "b" c'`);
	strictEqual(rows[0].count, 1);
});

test('without a key, or with an empty one, the answer is 400 and the handler is not run', async () => {
	const { send } = await app();
	const before = await db.effects();
	isProblem(await send('/orders', { key: null }), 400, 'key_missing');
	isProblem(await send('/orders', { key: '' }), 400, 'key_missing');
	isProblem(await send('/orders', { key: '""' }), 400, 'key_missing');
	strictEqual((await db.effects()).length, before.length);
});

for (const key of ['"abc', '"a" b', '"a", "b"', 'a b', 'a"b', 'a, b', '"é"']) {
	test(`the malformed key ${key} is refused with 400`, async () => {
		const { send } = await app();
		isProblem(await send('/orders', { key }), 400, 'key_invalid');
	});
}

for (const keys of [['a', 'b'], ['a', 'a'], ['"a"', '"a"']]) {
	test(`a header that is sent twice, ${keys}, is refused with 400`, async () => {
		const { url } = await app();
		const status = await new Promise((resolve, reject) => {
			request(`${url}/orders`, { method: 'POST', headers: { 'idempotency-key': keys } }, (answer) => {
				answer.resume();
				resolve(answer.statusCode);
			}).on('error', reject).end();
		});
		strictEqual(status, 400);
	});
}

test('a key that is too long is refused with 400, and the answer says how long it may be', async () => {
	const { send } = await app();
	strictEqual((await send('/orders', { key: 'k'.repeat(255) })).status, 201);
	const refused = await send('/orders', { key: 'k'.repeat(256) });
	isProblem(refused, 400, 'key_invalid');
	match(refused.json().detail, /255/);
});

test('where the database wants UUIDs, another key is refused with 400', async () => {
	const { send } = await app({ pool: { options: '-c idempotency.key_format=uuid' } });
	isProblem(await send('/orders', { key: 'abc' }), 400, 'key_invalid');
	strictEqual((await send('/orders')).status, 201);
});
