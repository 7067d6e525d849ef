import { randomUUID } from 'node:crypto';
import { after, afterEach } from 'node:test';
import { strictEqual } from 'node:assert';
import Fastify from 'fastify';
import idempotency from 'fastify-idempotency';
import pg from 'pg';

/**
 * A database of its own for a test file, dropped at the file's end.
 *
 * @param {string} [setup]  SQL to run in it
 */
export async function database(setup = 'CREATE EXTENSION idempotency') {
	const name = `plugin_${randomUUID().replaceAll('-', '')}`;
	await once({ database: 'postgres' }, `CREATE DATABASE ${name}`);
	after(() => once({ database: 'postgres' }, `DROP DATABASE ${name} WITH (FORCE)`));
	const admin = pool({ database: name, max: 1 });
	after(() => admin.end());
	await admin.query(`${setup}; CREATE TABLE effects (id int GENERATED ALWAYS AS IDENTITY, what text)`);
	return {
		name,
		query: (...query) => admin.query(...query),
		/** A transaction that stays open until the test ends it. */
		async transaction(query) {
			const client = new pg.Client({ database: name });
			await client.connect();
			await client.query('BEGIN');
			await client.query(query);
			return client;
		},
		/** Rows of `effects`: what handlers have done. */
		async effects() {
			return (await admin.query('SELECT what FROM effects ORDER BY id')).rows.map(({ what }) => what);
		},
	};
}

export function pool(options) {
	const made = new pg.Pool({ max: 5, connectionTimeoutMillis: 30_000, ...options });
	// a connection that breaks while idle
	made.on('error', () => {});
	return made;
}

async function once(options, query) {
	const client = new pg.Client(options);
	await client.connect();
	await client.query(query);
	await client.end();
}

const running = [];

afterEach(async () => {
	for (const stop of running.splice(0)) {
		await stop();
	}
});

/**
 * An application that listens; stopped after the test, when no connection may be out.
 *
 * @param {{name: string}} db
 * @param {(app: import('fastify').FastifyInstance) => unknown} routes
 * @param {{plugin?: object, fastify?: object, pool?: object}} [options]
 */
export async function listen(db, routes, options = {}) {
	const app = Fastify({ forceCloseConnections: true, ...options.fastify });
	const ours = pool({ database: db.name, ...options.pool });
	app.decorate('pool', ours);
	await app.register(idempotency, {
		pool: ours,
		tenant: (request) => request.headers.tenant ?? 'acme',
		user: (request) => request.headers.user,
		...options.plugin,
	});
	await routes(app);
	const url = await app.listen({ port: 0, host: '127.0.0.1' });
	running.push(async () => {
		await app.close();
		await until(() => ours.totalCount === ours.idleCount, 'all connections are back in the pool');
		await ours.end();
	});
	return { app, url, pool: ours, send: sender(url) };
}

/** Sends POSTs; the key is a new one unless given, and none if null; the body is JSON, unless it is given raw. */
export function sender(url) {
	return async (path, { key = randomUUID(), method = 'POST', body, raw = JSON.stringify(body), headers } = {}) => {
		const response = await fetch(url + path, {
			method,
			redirect: 'manual',
			headers: {
				...(key !== null && { 'idempotency-key': key }),
				...(raw !== undefined && { 'content-type': 'application/json' }),
				...headers,
			},
			body: raw,
		});
		const bytes = Buffer.from(await response.arrayBuffer());
		return {
			status: response.status,
			headers: Object.fromEntries([...response.headers].filter(([name]) => !['date', 'connection', 'keep-alive'].includes(name))),
			bytes,
			text: bytes.toString(),
			json: () => JSON.parse(bytes),
			replayed: response.headers.get('idempotent-replayed') === 'true',
		};
	};
}

/** A handler that leaves one effect, named after the request's body. */
export async function effect(request, reply) {
	const { rows } = await request.idempotency.client.query('INSERT INTO effects (what) VALUES ($1) RETURNING id', [request.body?.what ?? 'done']);
	return reply.code(201).send({ id: rows[0].id, attempt: request.idempotency.attempt });
}

/** Asserts a problem document of RFC 9457. */
export function isProblem(answer, status, code) {
	strictEqual(`${answer.status} ${answer.text && JSON.parse(answer.text).code}`, `${status} idempotency_${code}`);
	strictEqual(answer.headers['content-type'], 'application/problem+json');
	strictEqual(answer.json().status, status);
	strictEqual(answer.json().type, 'about:blank');
	strictEqual(answer.replayed, false);
	strictEqual(typeof answer.json().detail, 'string');
	strictEqual(answer.headers['retry-after'], answer.json().retry_after?.toString());
}

/** Waits for what must come true. */
export async function until(holds, what) {
	const deadline = Date.now() + 30_000;
	while (!(await holds())) {
		if (Date.now() > deadline) {
			throw new Error(`in vain: ${what}`);
		}
		await new Promise((resolve) => setTimeout(resolve, 10));
	}
}

/** A promise and what resolves it. */
export function signal() {
	let give;
	const given = new Promise((resolve) => {
		give = resolve;
	});
	return { given, give };
}

/**
 * A handlerTimeout that comes when the test says so, not by the clock.
 *
 * @param {import('node:test').TestContext} t
 */
export function handlerTimeout(t) {
	const milliseconds = 3_600_000;
	const { setTimeout } = globalThis;
	const timeouts = [];
	t.mock.method(globalThis, 'setTimeout', (callback, delay, ...rest) => {
		const timer = setTimeout(callback, delay, ...rest);
		if (delay === milliseconds) {
			timeouts.push(callback);
			timer.unref();
		}
		return timer;
	});
	return { milliseconds, come: () => timeouts.pop()() };
}
