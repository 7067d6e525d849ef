import { deepStrictEqual, strictEqual } from 'node:assert';
import { randomUUID } from 'node:crypto';
import { createServer } from 'node:net';
import { beforeEach, test } from 'node:test';
import pg from 'pg';
import { database, effect, isProblem, listen, signal, until } from './app.js';
import { proxy } from './proxy.js';

const db = await database();
beforeEach(() => db.query('TRUNCATE effects'));

const work = async (request, reply) => {
	await request.idempotency.begin();
	return effect(request, reply);
};

/** A client whose connection is killed, by the server, as soon as its nth statement has been answered. */
function killedAfter(state) {
	return class extends pg.Client {
		async #end() {
			const ended = new Promise((resolve) => this.once('end', resolve));
			await db.query('SELECT pg_terminate_backend($1)', [this.processID]);
			await ended;
		}

		query(text, values, callback) {
			if (typeof callback === 'function' || typeof values === 'function') {
				// the pool's own way to send one statement
				const done = callback ?? values;
				return super.query(text, callback ? values : undefined, async (error, result) => {
					await this.#count(text);
					done(error, result);
				});
			}
			return super.query(text, values).then(async (result) => {
				await this.#count(text);
				return result;
			});
		}

		async #count(text) {
			state.statements.push(text);
			if (state.statements.length === state.last) {
				await this.#end();
			}
		}
	};
}

for (const [mode, plugin, statements] of [
	['in one transaction', {}, 7],
	['under a lease', { lease: '1 h' }, 6],
]) {
	for (let last = 1; last <= statements; last += 1) {
		test(`a connection that is killed ${mode} after statement ${last} of ${statements}: 503 unless it was the last, and one effect in the end`, async () => {
			const state = { last, statements: [] };
			const { send } = await listen(db, (app) => app.post('/', work), { plugin, pool: { Client: killedAfter(state) } });
			const key = randomUUID();
			const first = await send('/', { key });
			const committed = last === statements;
			if (committed) {
				strictEqual(first.status, 201);
			} else {
				isProblem(first, 503, 'unavailable');
				strictEqual(first.headers['retry-after'], '1');
				deepStrictEqual(await db.effects(), []);
			}
			if (plugin.lease && last === 1) {
				// nobody knows the token: like a holder that died
				isProblem(await send('/', { key }), 409, 'in_progress');
				await db.query('UPDATE idempotency_keys SET lease_expires_at = now() WHERE key = $1', [key]);
			}
			const again = await send('/', { key });
			strictEqual(again.status, 201);
			deepStrictEqual(await db.effects(), ['done']);
			strictEqual(again.replayed, committed);
		});
	}
}

test('a connection that is killed while the handler is at work: 503, nothing kept, the retry does it', async () => {
	const [entered, leave] = [signal(), signal()];
	let pid;
	const { send } = await listen(db, (app) => app.post('/', async (request, reply) => {
		pid ??= (await request.idempotency.client.query('SELECT pg_backend_pid() AS pid')).rows[0].pid;
		await request.idempotency.client.query(`INSERT INTO effects (what) VALUES ('done')`);
		entered.give();
		await leave.given;
		return reply.code(201).send({});
	}));
	const key = randomUUID();
	const first = send('/', { key });
	await entered.given;
	await db.query('SELECT pg_terminate_backend($1, 30000)', [pid]);
	leave.give();
	isProblem(await first, 503, 'unavailable');
	deepStrictEqual(await db.effects(), []);
	strictEqual((await send('/', { key })).status, 201);
	deepStrictEqual(await db.effects(), ['done']);
});

test('a handler that never answers does not keep its connection where sessions may not idle in a transaction', async () => {
	const never = signal();
	const { send, pool } = await listen(db, (app) => {
		app.post('/stuck', (request, reply) => {
			never.given.then(() => reply.send({}));
		});
		app.post('/', effect);
	}, { pool: { max: 1, options: '-c idle_in_transaction_session_timeout=1500' } });
	const stuck = send('/stuck');
	await until(() => pool.totalCount === 1, 'it has its connection');
	strictEqual((await send('/')).status, 201);
	never.give();
	isProblem(await stuck, 503, 'unavailable');
});

test('a connection that is still busy when it is given up is not used again', async () => {
	const lock = await db.transaction('SELECT pg_advisory_xact_lock(2)');
	let connection;
	const { send, pool } = await listen(db, (app) => {
		app.pool.on('connect', (client) => {
			connection = client;
		});
		app.post('/stuck', async (request) => {
			connection.connectionParameters.query_timeout = 100;
			return request.idempotency.client.query('SELECT pg_advisory_xact_lock(2)');
		});
	}, { pool: { max: 1 } });
	isProblem(await send('/stuck'), 503, 'unavailable');
	strictEqual(pool.totalCount, 0);
	await lock.end();
});

/** A port on which nothing listens. */
async function closedPort() {
	const server = createServer();
	await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
	const { port } = server.address();
	await new Promise((resolve) => server.close(resolve));
	return port;
}

for (const [mode, plugin] of [['in one transaction', {}], ['under a lease', { lease: '1 h' }]]) {
	test(`where the database cannot be reached, ${mode}: 503, and the handler is not run`, async () => {
		let runs = 0;
		const { send } = await listen(db, (app) => app.post('/', async () => {
			runs += 1;
			return {};
		}), { plugin, pool: { host: '127.0.0.1', port: await closedPort() } });
		const refused = await send('/');
		isProblem(refused, 503, 'unavailable');
		strictEqual(refused.headers['retry-after'], '1');
		isProblem(await send('/', { key: null }), 400, 'key_missing');
		strictEqual(runs, 0);
	});

	test(`where all connections are taken, ${mode}: 503 in the time that the pool allows, and the handler is not run`, async () => {
		let runs = 0;
		const { send, pool } = await listen(db, (app) => app.post('/', async () => {
			runs += 1;
			return {};
		}), { plugin, pool: { max: 1 } });
		const taken = await pool.connect();
		pool.options.connectionTimeoutMillis = 100;
		const key = randomUUID();
		isProblem(await send('/', { key }), 503, 'unavailable');
		strictEqual(runs, 0);
		taken.release();
		strictEqual((await send('/', { key })).status, 200);
	});
}

test('where the database is read only: 503', async () => {
	const { send } = await listen(db, (app) => app.post('/', effect), { pool: { options: '-c default_transaction_read_only=on' } });
	isProblem(await send('/'), 503, 'unavailable');
});

test('where a statement waits too long: 503, and a retry may try again', async () => {
	const { send } = await listen(db, (app) => app.post('/', work), { pool: { options: '-c lock_timeout=100' } });
	const lock = await db.transaction('LOCK TABLE idempotency_keys');
	const key = randomUUID();
	isProblem(await send('/', { key }), 503, 'unavailable');
	await lock.end();
	strictEqual((await send('/', { key })).status, 201);
});

for (const [mode, plugin] of [['in one transaction', {}], ['under a lease', { lease: '1 h' }]]) {
	test(`where the answer to COMMIT is lost, ${mode}: 503, the retry gets the replay, and there is one effect`, async () => {
		const way = await proxy();
		try {
			const { send } = await listen(db, (app) => app.post('/', work), { plugin, pool: { host: '127.0.0.1', port: way.port } });
			const key = randomUUID();
			way.loseAnswerTo('COMMIT');
			isProblem(await send('/', { key }), 503, 'unavailable');
			await until(async () => (await db.effects()).length === 1, 'the server has committed');
			const again = await send('/', { key });
			strictEqual(again.status, 201);
			strictEqual(again.replayed, true);
			deepStrictEqual(await db.effects(), ['done']);
		} finally {
			await way.close();
		}
	});
}
