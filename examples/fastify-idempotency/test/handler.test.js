import { deepStrictEqual, strictEqual } from 'node:assert';
import { randomUUID } from 'node:crypto';
import { beforeEach, test } from 'node:test';
import { database, effect, handlerTimeout, isProblem, listen, signal } from './app.js';

const db = await database();
beforeEach(() => db.query('TRUNCATE effects'));

/** A handler that leaves an effect and throws, as often as it is told to. */
function throwing(status, times = Infinity) {
	let runs = 0;
	return async (request, reply) => {
		runs += 1;
		if (runs > times) {
			return effect(request, reply);
		}
		await request.idempotency.client.query(`INSERT INTO effects (what) VALUES ('undone')`);
		throw Object.assign(new Error(`run ${runs}`), { statusCode: status });
	};
}

test('a handler finds tenant, key and scope of its claim', async () => {
	const { send } = await listen(db, (app) => app.post('/', async ({ idempotency: { claim: { tenant, key, scope } } }) => ({ tenant, key, scope })));
	const key = randomUUID();
	const { json } = await send('/', { key: `"${key}"`, headers: { tenant: 'globex', user: 'ann' } });
	deepStrictEqual(json(), { tenant: 'globex', key, scope: 'POST / by ann' });
});

test('a handler that throws 4xx has its work undone, and its answer is kept', async () => {
	const { send } = await listen(db, (app) => app.post('/', throwing(409)));
	const key = randomUUID();
	const first = await send('/', { key });
	strictEqual(first.status, 409);
	strictEqual(first.json().message, 'run 1');
	const again = await send('/', { key });
	strictEqual(again.text, first.text);
	strictEqual(again.replayed, true);
	deepStrictEqual(await db.effects(), []);
});

test('a handler that returns 4xx has its work undone, and its answer is kept', async () => {
	const { send } = await listen(db, (app) => app.post('/', async (request, reply) => {
		await request.idempotency.client.query(`INSERT INTO effects (what) VALUES ('undone')`);
		return reply.code(422).send({ message: 'sold out' });
	}));
	const key = randomUUID();
	const first = await send('/', { key });
	strictEqual(first.status, 422);
	const again = await send('/', { key });
	strictEqual(again.text, first.text);
	strictEqual(again.replayed, true);
	deepStrictEqual(await db.effects(), []);
});

for (const status of [500, 503, 429]) {
	test(`a handler that throws ${status} has its work undone, and the retry runs as attempt 2`, async () => {
		const { send } = await listen(db, (app) => app.post('/', throwing(status, 1)));
		const key = randomUUID();
		strictEqual((await send('/', { key })).status, status);
		deepStrictEqual(await db.effects(), []);
		const again = await send('/', { key });
		strictEqual(again.status, 201);
		strictEqual(again.json().attempt, 2);
		strictEqual(again.replayed, false);
		deepStrictEqual(await db.effects(), ['done']);
	});
}

test('work is undone as a whole, also if the handler has savepoints of its own', async () => {
	const { send } = await listen(db, (app) => app.post('/', async ({ idempotency: { client } }, reply) => {
		await client.query(`INSERT INTO effects (what) VALUES ('outer')`);
		await client.query('SAVEPOINT work');
		await client.query(`INSERT INTO effects (what) VALUES ('inner')`);
		return reply.code(400).send({});
	}));
	strictEqual((await send('/')).status, 400);
	deepStrictEqual(await db.effects(), []);
});

test('a handler that ends the transaction itself is answered 500, so that it is found out', async () => {
	for (const end of ['COMMIT', 'ROLLBACK', 'COMMIT; BEGIN', 'ROLLBACK; BEGIN']) {
		const { send } = await listen(db, (app) => app.post('/', async ({ idempotency: { client } }) => {
			await client.query(end);
			return {};
		}));
		isProblem(await send('/'), 500, 'failed');
	}
});

test('a handler that swallows an error of the database is answered 500, and nothing is stored', async () => {
	let fails = true;
	const { send } = await listen(db, (app) => app.post('/', async (request, reply) => {
		if (fails) {
			await request.idempotency.client.query('SELECT 1 / 0').catch(() => {});
			return {};
		}
		return effect(request, reply);
	}));
	const key = randomUUID();
	isProblem(await send('/', { key }), 500, 'failed');
	fails = false;
	strictEqual((await send('/', { key })).status, 201);
});

test('a constraint that fails at COMMIT is 500, with the work undone and the key free', async () => {
	await db.query('CREATE TABLE seats (n int UNIQUE DEFERRABLE INITIALLY DEFERRED); INSERT INTO seats VALUES (1)');
	const { send } = await listen(db, (app) => app.post('/', async (request, reply) => {
		await request.idempotency.client.query('INSERT INTO seats VALUES (1)');
		return effect(request, reply.header('location', '/o/1').header('content-language', 'cs'));
	}));
	const key = randomUUID();
	const failed = await send('/', { key });
	isProblem(failed, 500, 'failed');
	strictEqual(failed.headers.location, undefined, 'nothing of the undone answer is sent');
	strictEqual(failed.headers['content-language'], undefined);
	deepStrictEqual(await db.effects(), []);
	await db.query('TRUNCATE seats');
	const again = await send('/', { key });
	strictEqual(again.status, 201);
	strictEqual(again.json().attempt, 1);
});

for (const [style, handler] of Object.entries({
	'returns a value': async ({ idempotency: { client } }) => {
		await client.query(`INSERT INTO effects (what) VALUES ('x')`);
		return { style: 'answer' };
	},
	'returns the reply': async ({ idempotency: { client } }, reply) => {
		await client.query(`INSERT INTO effects (what) VALUES ('x')`);
		reply.send({ style: 'answer' });
		return reply;
	},
	'awaits the reply': async ({ idempotency: { client } }, reply) => {
		await client.query(`INSERT INTO effects (what) VALUES ('x')`);
		await reply.send({ style: 'answer' });
	},
	'sends and returns nothing': async ({ idempotency: { client } }, reply) => {
		await client.query(`INSERT INTO effects (what) VALUES ('x')`);
		reply.send({ style: 'answer' });
	},
	'sends twice': async ({ idempotency: { client } }, reply) => {
		await client.query(`INSERT INTO effects (what) VALUES ('x')`);
		reply.send({ style: 'answer' });
		reply.code(500).header('x-late', '1').send({ style: 'another' });
	},
	'is in callback style': ({ idempotency: { client } }, reply) => {
		client.query('INSERT INTO effects (what) VALUES ($1)', ['x'], (error) => {
			reply.send(error ?? { style: 'answer' });
		});
	},
	'does not await its last query': async ({ idempotency: { client } }) => {
		client.query(`INSERT INTO effects (what) VALUES ('x')`);
		return { style: 'answer' };
	},
})) {
	test(`a handler that ${style} is answered once, and replayed`, async () => {
		const { send } = await listen(db, (app) => app.post('/', handler));
		const key = randomUUID();
		for (const replayed of [false, true]) {
			const answer = await send('/', { key });
			strictEqual(`${answer.status} ${answer.text}`, '200 {"style":"answer"}');
			strictEqual(answer.headers['x-late'], undefined);
			strictEqual(answer.replayed, replayed);
		}
		deepStrictEqual(await db.effects(), ['x']);
	});
}

test('a handler that answers nothing is answered 200 without a body, and replayed', async () => {
	const { send } = await listen(db, (app) => app.post('/', async () => {}));
	const key = randomUUID();
	strictEqual((await send('/', { key })).text, '');
	strictEqual((await send('/', { key })).replayed, true);
});

test('a handler that calls the not-found handler has its 404 stored', async () => {
	const { send } = await listen(db, (app) => {
		app.setNotFoundHandler((request, reply) => reply.code(404).send({ message: 'no such order' }));
		app.post('/', async (request, reply) => {
			await request.idempotency.client.query(`INSERT INTO effects (what) VALUES ('x')`);
			reply.callNotFound();
			return reply;
		});
	});
	const key = randomUUID();
	const first = await send('/', { key });
	strictEqual(first.status, 404);
	const again = await send('/', { key });
	strictEqual(again.text, first.text);
	strictEqual(again.replayed, true);
	deepStrictEqual(await db.effects(), []);
});

for (const begins of [false, true]) {
	test(`a handler that is given up by handlerTimeout cannot write ${begins ? 'in the transaction it began ' : ''}afterwards`, async (t) => {
		const timeout = handlerTimeout(t);
		const [late, tried] = [signal(), signal()];
		const { send } = await listen(db, (app) => app.post('/', {
			handlerTimeout: timeout.milliseconds, config: { idempotency: begins ? { lease: '1 min' } : {} },
		}, async (request) => {
			const { idempotency } = request;
			const client = begins ? await idempotency.begin() : idempotency.client;
			await client.query(`INSERT INTO effects (what) VALUES ('early')`);
			timeout.come();
			await late.given;
			const errors = [];
			for (const write of [
				() => client.query(`INSERT INTO effects (what) VALUES ('late')`),
				() => idempotency.client.query(`INSERT INTO effects (what) VALUES ('late')`),
				() => idempotency.begin(),
				() => idempotency.checkpoint('late'),
				() => idempotency.heartbeat(),
			]) {
				await Promise.resolve().then(write).catch((error) => errors.push(error));
			}
			tried.give(errors.length);
			return { id: 'late' };
		}));
		const key = randomUUID();
		strictEqual((await send('/', { key })).status, 503);
		late.give();
		strictEqual(await tried.given, 5);
		deepStrictEqual(await db.effects(), []);
	});
}

test('a handler that is given up while the answer is being stored cannot change it', async (t) => {
	const timeout = handlerTimeout(t);
	await db.query('SELECT pg_advisory_lock(1)');
	const done = signal();
	const { send } = await listen(db, (app) => app.post('/', { handlerTimeout: timeout.milliseconds }, async (request, reply) => {
		// whatever is to be stored waits behind this
		request.idempotency.client.query('SELECT pg_advisory_lock_shared(1)');
		timeout.come();
		await new Promise((resolve) => setImmediate(resolve));
		reply.code(201).header('location', '/late').send({ id: 'late' });
		done.give();
	}));
	const answer = send('/');
	await done.given;
	await db.query('SELECT pg_advisory_unlock(1)');
	strictEqual((await answer).status, 503);
	strictEqual((await answer).json().code, 'FST_ERR_HANDLER_TIMEOUT');
	strictEqual((await answer).headers.location, undefined);
});

test('a handler may hijack the reply: it is not protected, and its connection is not lost', async () => {
	const { send } = await listen(db, (app) => app.post('/', async (request, reply) => {
		await request.idempotency.client.query(`INSERT INTO effects (what) VALUES ('x')`);
		reply.hijack();
		reply.raw.end('raw');
	}), { pool: { max: 1 } });
	const key = randomUUID();
	strictEqual((await send('/', { key })).text, 'raw');
	strictEqual((await send('/', { key })).text, 'raw');
	deepStrictEqual(await db.effects(), []);
});

test('of the transaction\'s client a handler gets query only', async () => {
	const { send } = await listen(db, (app) => app.post('/', async ({ idempotency }) => Object.keys(idempotency.client)));
	deepStrictEqual((await send('/')).json(), ['query']);
});
