import { deepStrictEqual, strictEqual } from 'node:assert';
import { randomUUID } from 'node:crypto';
import { Readable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import { test } from 'node:test';
import { database, listen } from './app.js';

const db = await database();

const answers = {
	'an object': (reply) => reply.send({ name: 'Žižkov', n: 1.5 }),
	'null': (reply) => reply.send(null),
	'text with non-ASCII': (reply) => reply.send('zażółć 日本 🎟'),
	'text with a NUL': (reply) => reply.send('a\0b'),
	'empty text': (reply) => reply.send(''),
	'a Buffer of any bytes': (reply) => reply.send(Buffer.from([0, 255, 254, 10, 128])),
	'a typed array': (reply) => reply.send(new Uint8Array([1, 0, 200])),
	'a stream': (reply) => reply.type('text/csv').send(Readable.from(['a,b\n', 'c,d\n'])),
	'a web stream': (reply) => reply.type('text/csv').send(new Blob(['a,b']).stream()),
	'a Response': (reply) => reply.send(new Response('made', { status: 202, headers: { location: '/r/1', 'content-type': 'text/x' } })),
	'a Response without a body': (reply) => reply.send(new Response(null, { status: 204 })),
	'204 without a body': (reply) => reply.code(204).send(),
	'a redirect': (reply) => reply.redirect('/elsewhere', 303),
	'location, etag and links': (reply) => reply.code(201).headers({ location: '/o/1', etag: '"v1"', link: '</a>; rel=next' }).send({ id: 1 }),
	'a content type of its own': (reply) => reply.type('application/vnd.api+json').send({ id: 1 }),
	'a compressed body': (reply) => reply.header('content-encoding', 'gzip').type('text/plain').send(gzipSync('a')),
	'a refusal': (reply) => reply.code(422).send({ message: 'no seats' }),
};

for (const [name, answer] of Object.entries(answers)) {
	test(`${name} is replayed byte for byte, with status and headers`, async () => {
		let runs = 0;
		const { send } = await listen(db, (app) => app.post('/', (request, reply) => {
			runs += 1;
			return answer(reply);
		}));
		const key = randomUUID();
		const first = await send('/', { key });
		const again = await send('/', { key });
		strictEqual(first.replayed, false);
		deepStrictEqual(again, { ...first, headers: { ...first.headers, 'idempotent-replayed': 'true' }, json: again.json, replayed: true });
		strictEqual(runs, 1);
	});
}

test('a compressed body can be read by the client of the replay', async () => {
	const { send } = await listen(db, (app) => app.post('/', (request, reply) => reply.header('content-encoding', 'gzip').send(gzipSync('plain'))));
	const key = randomUUID();
	await send('/', { key });
	strictEqual((await send('/', { key })).text, 'plain');
});

test('headers outside the list, and cookies, are sent but neither stored nor replayed', async () => {
	const { send } = await listen(db, (app) => app.post('/', (request, reply) => reply
		.headers({ 'x-request': 'secret', 'set-cookie': ['a=1', 'b=2'], location: '/o/1' }).send({})));
	const key = randomUUID();
	const first = await send('/', { key });
	strictEqual(first.headers['x-request'], 'secret');
	strictEqual(first.headers['set-cookie'], 'b=2');
	const again = await send('/', { key });
	strictEqual(again.headers['x-request'], undefined);
	strictEqual(again.headers['set-cookie'], undefined);
	strictEqual(again.headers.location, '/o/1');
	const { rows } = await db.query('SELECT response_headers FROM idempotency_keys WHERE key = $1', [key]);
	deepStrictEqual(Object.keys(rows[0].response_headers).sort(), ['content-type', 'location']);
});

test('the list of headers can be another one, in any case, and cookies stay out of it', async () => {
	const { send } = await listen(db, (app) => app.post('/', (request, reply) => reply
		.headers({ 'X-Total': 3, location: '/o/1', 'set-cookie': 'a=1' }).send('x')), { plugin: { headers: ['X-Total', 'Set-Cookie'] } });
	const key = randomUUID();
	await send('/', { key });
	const again = await send('/', { key });
	strictEqual(again.headers['x-total'], '3');
	strictEqual(again.headers.location, undefined);
	strictEqual(again.headers['set-cookie'], undefined);
});

test('what cannot be sent is not stored: the work is undone and the answer is 500', async () => {
	const { send } = await listen(db, (app) => app.post('/', async (request, reply) => {
		await request.idempotency.client.query(`INSERT INTO effects (what) VALUES ('object')`);
		return reply.type('text/plain').send({ not: 'text' });
	}));
	const key = randomUUID();
	strictEqual((await send('/', { key })).status, 500);
	deepStrictEqual(await db.effects(), []);
});

test('a stream that breaks is not stored: the work is undone and the answer is 500', async () => {
	const { send } = await listen(db, (app) => app.post('/', async (request, reply) => {
		await request.idempotency.client.query(`INSERT INTO effects (what) VALUES ('stream')`);
		return reply.send(new Readable({ read() { this.destroy(new Error('disk')); } }));
	}));
	const key = randomUUID();
	strictEqual((await send('/', { key })).status, 500);
	deepStrictEqual(await db.effects(), []);
	strictEqual((await send('/', { key })).replayed, false);
});

test('a replay is not serialized again by the schema of the route', async () => {
	const { send } = await listen(db, (app) => app.post('/', {
		schema: { response: { '2xx': { type: 'object', properties: { id: { type: 'string' } } } } },
	}, async () => ({ id: 7, hidden: true })));
	const key = randomUUID();
	const first = await send('/', { key });
	strictEqual(first.text, '{"id":"7"}');
	const again = await send('/', { key });
	strictEqual(again.text, first.text);
	strictEqual(again.headers['content-type'], first.headers['content-type']);
});
