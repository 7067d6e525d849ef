import { deepStrictEqual, ok, strictEqual } from 'node:assert';
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { database, isProblem, sender } from './app.js';

const readme = await readFile(new URL('../README.md', import.meta.url), 'utf8');
const [, example] = /^```js\n([^]*?)^```/m.exec(readme);
const [, problem] = /^```json\n([^]*?)^```/m.exec(readme);
const [, location, answer] = /^location: (.*)\n[^]*?\n\n(.*)/m.exec(readme);

const db = await database();
await db.query(`CREATE TABLE orders (id int GENERATED ALWAYS AS IDENTITY, seat int);
	CREATE TABLE payments (eur int, charge text)`);

/** A provider that charges once for a key, and whose first answer is lost. */
async function provider() {
	const keys = [];
	const server = createServer((request, reply) => {
		keys.push(request.headers['idempotency-key']);
		reply.writeHead(keys.length === 1 ? 500 : 200).end('ch_1');
	});
	await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
	return { keys, url: `http://127.0.0.1:${server.address().port}`, close: () => server.close() };
}

/** Runs the example as it is printed. */
async function start(environment) {
	// inside the package, where its imports are found
	const folder = await mkdtemp(new URL('./example-', import.meta.url).pathname);
	await writeFile(join(folder, 'server.mjs'), example);
	const server = spawn(process.execPath, ['server.mjs'], {
		cwd: folder, env: { ...process.env, ...environment }, stdio: ['ignore', 'pipe', 'inherit'],
	});
	const ended = new Promise((resolve) => server.once('exit', resolve));
	const stop = async () => {
		server.kill();
		await ended;
		await rm(folder, { recursive: true });
	};
	for await (const line of createInterface({ input: server.stdout })) {
		const address = /Server listening at (http:[^"]*)/.exec(line);
		if (address) {
			server.stdout.resume();
			return { url: address[1], stop };
		}
	}
	await stop();
	throw new Error('the example does not start');
}

test('the example of the README does what is said there', async () => {
	const charges = await provider();
	const { url, stop } = await start({ PGDATABASE: db.name, PORT: '0', PROVIDER: charges.url });
	try {
		const send = sender(url);
		const headers = { authorization: 'Bearer secret' };
		strictEqual((await send('/orders', { body: { seat: 7 } })).status, 401);

		const key = randomUUID();
		const first = await send('/orders', { key, headers, body: { seat: 7 } });
		strictEqual(`${first.status} ${first.headers.location} ${first.text}`, `201 ${location} ${answer}`);
		const again = await send('/orders', { key, headers, body: { seat: 7 } });
		strictEqual(again.text, first.text);
		ok(again.replayed);

		const mismatch = await send('/orders', { key, headers, body: { seat: 8 } });
		isProblem(mismatch, 422, 'mismatch');
		deepStrictEqual(mismatch.json(), JSON.parse(problem));

		const pay = randomUUID();
		strictEqual((await send('/payments', { key: pay, headers, body: { eur: 50 } })).status, 502);
		const paid = await send('/payments', { key: pay, headers, body: { eur: 50 } });
		strictEqual(paid.text, '{"paid":50}');
		strictEqual((await send('/payments', { key: pay, headers, body: { eur: 50 } })).replayed, true);
		strictEqual(charges.keys.length, 2);
		strictEqual(charges.keys[0], charges.keys[1]);
		deepStrictEqual((await db.query('SELECT * FROM payments')).rows, [{ eur: 50, charge: 'ch_1' }]);
	} finally {
		await stop();
		charges.close();
	}
});

test('the README names every code, option and method there is', async () => {
	const source = await Promise.all(['problem.js', 'index.d.ts'].map((name) => readFile(new URL(`../${name}`, import.meta.url), 'utf8')));
	const [, codes] = /const STATUS = {([^]*?)}/.exec(source[0]);
	for (const [, code, status] of codes.matchAll(/(\w+): (\d+)/g)) {
		ok(new RegExp(`^\\| ${status}[^|]*\\| \`idempotency_${code}\``, 'm').test(readme), code);
	}
	for (const [, name] of source[1].matchAll(/^\t(?:readonly )?(\w+)[?:(]/gm)) {
		ok(readme.includes(`${name}`), name);
	}
});
