import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { between, without } from './between.js';
import { clientOf } from './client.js';
import { crashDatabase } from './crash.js';
import { rowOf, rowsOf, seconds } from './key.js';
import { later, withApp } from './later.js';
import { doesNothing, effectsOf } from './state.js';
import { until } from './until.js';

export const ANN = { tenant: 'acme', sub: 'ann' };
export const BOB = { tenant: 'acme', sub: 'bob' };
export const FOREIGN_ANN = { tenant: 'globex', sub: 'ann' };

/** As many of a request at once. */
const CROWD = 8;

/**
 * A request that is good for one use, and another one to the same route.
 *
 * @typedef {object} Trial
 * @property {'POST' | 'PUT' | 'PATCH' | 'DELETE'} [method]
 * @property {string} path
 * @property {object} [body]
 * @property {{path?: string, body?: object}} another  in what the other one differs
 *
 * @typedef {(who: {tenant: string, sub: string}) => Promise<Trial>} Prepare  makes what the request is about, as somebody's
 */

/**
 * What is asserted of one route, whichever it is; each is an assertion of its
 * own.  A request that isn't carried out leaves no trace in the business tables
 * and at the provider, and one that is leaves those of one, however often and
 * to whichever process it was sent.
 *
 * @param {Awaited<ReturnType<import('./world.js').startWorld>>} world
 * @param {Prepare} prepare
 */
export function protectionOf(world, prepare) {
	const [app, otherApp] = world.apps;

	/** Sends a trial as somebody, by default as Ann to the first process. */
	function send({ method = 'POST', path, body }, key, { to = app, who = ANN, headers } = {}) {
		return clientOf(to, who).send(method, path, { body, key, headers });
	}

	async function needsKey() {
		const trial = await prepare(ANN);
		const answer = await doesNothing(world, () => send(trial, undefined));
		assertProblem(answer, 400, 'idempotency_key_missing');
		await works(trial);
	}

	/** @param {string[]} keys  that are no good */
	async function refusesKeys(...keys) {
		const trial = await prepare(ANN);
		for (const key of keys) {
			assertProblem(await doesNothing(world, () => send(trial, key)), 400, 'idempotency_key_invalid');
			assert.deepEqual(await rowsOf(world, key), []);
		}
		await works(trial);
	}

	/** Bare, as most clients send it, or quoted as in the standard: it is the same key. */
	async function acceptsKey() {
		const trial = await prepare(ANN);
		const key = randomUUID();
		const first = await works(trial, key);
		assertReplay(await doesNothing(world, () => send(trial, `"${key}"`)), first);
		assert.equal((await rowOf(world, key)).key, key);
	}

	async function isReplayed() {
		const trial = await prepare(ANN);
		const key = randomUUID();
		const first = await works(trial, key);
		for (const to of [app, otherApp]) {
			assertReplay(await doesNothing(world, () => send(trial, key, { to })), first);
		}
	}

	async function saysItIsReplayed() {
		const trial = await prepare(ANN);
		const key = randomUUID();
		const { status } = await works(trial, key);
		for (const to of [app, otherApp]) {
			const again = await send(trial, key, { to });
			assert.deepEqual([again.status, again.headers.get('idempotent-replayed')], [status, 'true']);
		}
	}

	async function refusesAnother() {
		const trial = await prepare(ANN);
		const another = { ...trial, ...trial.another };
		const key = randomUUID();
		const first = await works(trial, key);
		assertProblem(await doesNothing(world, () => send(another, key, { to: otherApp })), 422, 'idempotency_mismatch');
		assertReplay(await send(trial, key), first);
		await works(another);
	}

	/** Of many at once one is carried out; while it is, all others are told so at once, by both processes. */
	async function isExclusive() {
		const trial = await prepare(ANN);
		const key = randomUUID();
		const together = await effectsOf(world, () => inProgress(ANN, key, trial, async (others) => {
			assert.equal(others.length, CROWD - 1);
			for (const other of others) {
				assertProblem(other, 409, 'idempotency_in_progress');
				assert.match(other.headers.get('retry-after'), /^[1-9]\d*$/);
			}
		}));
		assertSuccess(together.result);
		assert.deepEqual(together.effects, await effectsOfOne());
		assert.equal((await rowOf(world, key)).attempt, 1);
	}

	async function countsForTenant() {
		await countsApart(ANN, FOREIGN_ANN);
	}

	async function countsForUser() {
		await countsApart(ANN, BOB);
	}

	/** Whoever else uses the key gets neither an answer nor a conflict of the first's. */
	async function countsApart(one, other) {
		const [ones, others] = [await prepare(one), await prepare(other)];
		const key = randomUUID();
		let second;
		const first = await inProgress(one, key, ones, async () => {
			second = await works(others, key, { who: other, to: otherApp });
		}, 1);
		assertReplay(await send(ones, key, { who: one }), first);
		assertReplay(await send(others, key, { who: other }), second);
		const rows = await rowsOf(world, key);
		assert.deepEqual(rows.map((row) => row.tenant_id).sort(), [one.tenant, other.tenant].sort());
		assert.equal(new Set(rows.map((row) => `${row.tenant_id} ${row.scope}`)).size, 2);
	}

	/** The answer outlives every process that knew of it. */
	async function survivesRestart() {
		await survives(() => {});
	}

	/** And those of the database. */
	async function survivesCrash() {
		await survives(() => crashDatabase(world));
	}

	async function survives(accident) {
		const trial = await prepare(ANN);
		const key = randomUUID();
		const first = await withApp(world, (to) => works(trial, key, { to }));
		await accident();
		await withApp(world, async (to) => {
			assertReplay(await doesNothing(world, () => send(trial, key, { to })), first);
		});
	}

	/** What a process knows may be lost at any time; without the database nothing is done, and nothing is lost. */
	async function needsNoCache() {
		const trial = await prepare(ANN);
		const key = randomUUID();
		const unaware = await world.startApp();
		try {
			await whileUnreachable(world, async () => {
				const answer = await doesNothing(world, () => send(trial, key, { to: unaware }));
				assertProblem(answer, 503, 'idempotency_unavailable');
				assert.match(answer.headers.get('retry-after'), /^[1-9]\d*$/);
			});
			const first = await works(trial, key, { to: unaware });
			await unaware.kill();
			assertReplay(await doesNothing(world, () => send(trial, key)), first);
		} finally {
			await unaware.kill();
		}
	}

	/** What failed on the server's side was not done, and its answer is not kept: the next attempt fails anew. */
	async function failureIsNotStored() {
		const trial = await prepare(ANN);
		const key = randomUUID();
		await fails(trial, key, 2);
		const { response_status, response_headers, response_body, response_bytes, completed_at } = await rowOf(world, key);
		assert.deepEqual({ response_status, response_headers, response_body, response_bytes, completed_at },
			{ response_status: null, response_headers: null, response_body: null, response_bytes: null, completed_at: null });
	}

	/** After that the same key works, for the same request only. */
	async function isRetriedAfterFailure() {
		const trial = await prepare(ANN);
		const key = randomUUID();
		await fails(trial, key, 2);
		assertProblem(await doesNothing(world, () => send({ ...trial, ...trial.another }, key)), 422, 'idempotency_mismatch');
		const { result: done, effects } = await effectsOf(world, () => works(trial, key));
		assert.deepEqual(effects, await effectsOfOne());
		assert.equal((await rowOf(world, key)).attempt, 3);
		assertReplay(await doesNothing(world, () => send(trial, key, { to: otherApp })), done);
	}

	async function fails(trial, key, times) {
		await whileBroken(world, async () => {
			for (let i = 0; i < times; i++) {
				const { status, headers } = await doesNothing(world, () => send(trial, key, { to: world.apps[i % 2] }));
				assert.deepEqual([status, headers.get('idempotent-replayed')], [500, null]);
			}
		});
	}

	/** The answer is given again for a day, and then the key is as new. */
	async function isKeptForADay() {
		const trial = await prepare(ANN);
		const key = randomUUID();
		const first = await works(trial, key);
		const { created_at, expires_at } = await rowOf(world, key);
		assert.equal(seconds(created_at, expires_at), 24 * 3600);
		await later(world, '1439min', async (to) => {
			assertReplay(await doesNothing(world, () => send(trial, key, { to })), first);
		});
		await later(world, '1441min', async (to) => {
			await works({ ...trial, ...trial.another }, key, { to });
		});
		assert((await rowOf(world, key)).created_at > expires_at);
	}

	/**
	 * A refusal is given again, also once its cause is gone, and forgotten after an hour.
	 *
	 * @param {(who: object) => Promise<Trial & {mend: () => Promise<void>}>} prepareRefused  what is refused until it is mended
	 */
	async function keepsRefusals(prepareRefused) {
		const trial = await prepareRefused(ANN);
		const key = randomUUID();
		const first = await doesNothing(world, () => send(trial, key));
		assert(first.status >= 400 && first.status < 500, `${first.status} ${first.text}`);
		const { completed_at, expires_at } = await rowOf(world, key);
		assert.equal(seconds(completed_at, expires_at), 3600);
		await trial.mend();
		assertReplay(await doesNothing(world, () => send(trial, key, { to: otherApp })), first);
		await later(world, '59min', async (to) => {
			assertReplay(await doesNothing(world, () => send(trial, key, { to })), first);
		});
		await later(world, '61min', (to) => works(trial, key, { to }));
	}

	/** All of what the extension is for. */
	async function isProtected() {
		await needsKey();
		await isReplayed();
		await isExclusive();
		await refusesAnother();
	}

	/**
	 * Sends a trial as often as said at once, to both processes, and keeps what is
	 * carried out from being finished until something was done meanwhile.
	 *
	 * @param {(others: object[]) => Promise<void>} meanwhile  gets the answers of those that are not carried out
	 * @returns {Promise<object>} the answer of the one that is
	 */
	async function inProgress(who, key, trial, meanwhile, crowd = CROWD) {
		const release = await holdRequestsOf(world, who);
		const others = [];
		const sent = Array.from({ length: crowd }, async (_, i) => {
			const answer = await send(trial, key, { who, to: world.apps[i % 2] });
			others.push(answer);
			return answer;
		});
		try {
			const held = await until('each request is held or answered', async () => {
				const count = await world.waiting();
				return count + others.length >= crowd && { count };
			});
			assert.equal(held.count, 1, `${held.count} of ${crowd} requests with one key are carried out at once`);
			await meanwhile([...others]);
		} finally {
			await release();
			await Promise.allSettled(sent);
		}
		return others.at(-1);
	}

	/** What a request does that is sent once and alone. */
	async function effectsOfOne() {
		const trial = await prepare(ANN);
		const { effects } = await effectsOf(world, () => works(trial));
		return effects;
	}

	async function works(trial, key = randomUUID(), how = {}) {
		const { result, effects } = await effectsOf(world, () => send(trial, key, how));
		assertSuccess(result);
		assert(Object.keys(effects).some((table) => table !== 'usage'), 'nothing was done');
		return result;
	}

	return {
		send, works, inProgress,
		needsKey, refusesKeys, acceptsKey, isReplayed, saysItIsReplayed, refusesAnother, isExclusive, countsForTenant, countsForUser,
		survivesRestart, survivesCrash, needsNoCache, failureIsNotStored, isRetriedAfterFailure, isKeptForADay, keepsRefusals, isProtected,
	};
}

/** Asserts a problem document (RFC 9457) with a code of its own. */
export function assertProblem({ status, headers, body }, expected, code) {
	assert.deepEqual([status, body?.code, body?.status], [expected, code, expected]);
	assert.match(headers.get('content-type'), /^application\/problem\+json\b/);
	for (const text of [body.type, body.title, body.detail]) {
		assert(typeof text === 'string' && text !== '');
	}
}

/** Asserts that an answer is another one again: its status, its stored headers, its body byte for byte. */
export function assertReplay(answer, first) {
	const parts = ({ status, headers, text }) => [status, headers.get('content-type'), headers.get('location'), text];
	assert.deepEqual(parts(answer), parts(first));
	assert.equal(answer.headers.get('idempotent-replayed'), 'true');
}

function assertSuccess({ status, headers, text }) {
	assert(status >= 200 && status < 300, `${status} ${text}`);
	assert.equal(headers.get('idempotent-replayed'), null);
}

/** Runs work while nothing can be finished: what happened can't be noted. */
export function whileBroken(world, work) {
	return without(world, 'INSERT ON events', 'ticketing_app', work);
}

/** Runs work while the application can't make connections to the database. */
function whileUnreachable({ server, database }, work) {
	const limit = (connections) => server.query(`ALTER DATABASE ${database} CONNECTION LIMIT ${connections}`);
	return between(() => limit(0), () => limit(-1), work);
}

/** Keeps somebody's requests in progress, each where its work begins, until the function that is returned is called. */
export async function holdRequestsOf({ sql, lock }, { tenant, sub }) {
	await sql.query('INSERT INTO usage (tenant, user_id, requests) VALUES ($1, $2, 0) ON CONFLICT DO NOTHING', [tenant, sub]);
	return lock('SELECT FROM usage WHERE tenant = $1 AND user_id = $2 FOR UPDATE', [tenant, sub]);
}
