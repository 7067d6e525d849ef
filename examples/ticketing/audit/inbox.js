import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { without } from './between.js';
import { queryAs } from './key.js';
import { withSetting } from './later.js';
import { doesNothing, effectsOf } from './state.js';
import { until } from './until.js';

/**
 * What is asserted of the webhooks of one source, whatever its events mean;
 * each is an assertion of its own.
 *
 * @param {Awaited<ReturnType<import('./world.js').startWorld>>} world
 * @param {'stripe' | 'connect'} source
 * @param {() => Promise<object>} prepare  makes an event that can be processed, of an id of its own
 */
export function inboxOf(world, source, prepare) {
	const [app, otherApp] = world.apps;
	const deliver = (event, { to = app, ...how } = {}) => world.stripe.deliver(to, source, event, how);

	/** What isn't signed by the provider, or was too long ago, is neither recorded nor called a duplicate. */
	async function signatureComesFirst() {
		const event = await prepare();
		const forgeries = [{ secret: 'whsec_of_somebody_else' }, { timestamp: Math.floor(Date.now() / 1000) - 3600 }];
		for (const forgery of forgeries) {
			assert.equal((await deliver(event, forgery)).status, 400);
			assert.equal(await rowOf(event), undefined);
		}
		await receives(event);
		for (const forgery of forgeries) {
			assert.equal((await deliver({ ...event, type: 'forged' }, forgery)).status, 400);
		}
		assert.equal((await rowOf(event)).event_type, event.type);
	}

	/** The same id is the same event; an event like it with another id is another one. */
	async function idIsChecked() {
		const event = await prepare();
		const twin = { ...event, id: eventId() };
		await receives(event);
		await receives(twin);
		const { status, body } = await deliver(event, { to: otherApp });
		assert.deepEqual([status, body], [200, { received: true, duplicate: true }]);
		const { rows } = await world.sql.query('SELECT event_id FROM webhook_inbox WHERE source = $1 AND event_id = ANY($2)', [source, [event.id, twin.id]]);
		assert.deepEqual(rows.map((row) => row.event_id).sort(), [event.id, twin.id].sort());
	}

	/** Of an event that is delivered many times at once one is recorded, and each delivery is answered 200. */
	async function isRecordedOnce() {
		const event = await prepare();
		const answers = await Promise.all(Array.from({ length: 8 }, (_, i) => deliver(event, { to: world.apps[i % 2] })));
		assert.deepEqual(answers.map(({ status }) => status), Array(8).fill(200));
		assert.equal(answers.filter(({ body }) => !body.duplicate).length, 1);
		assert.equal((await rowOf(event)).state, 'pending');
	}

	/** Pending when it is recorded, processing while a worker has it, also one that has died, processed in the end. */
	async function stateIsTracked() {
		const event = await prepare();
		await drained();
		await receives(event);
		assert.equal((await rowOf(event)).state, 'pending');
		const { tenant_id } = await rowOf(event);
		const [{ event_id }] = await queryAs(world, 'ticketing_worker', `SELECT * FROM webhook_inbox_fetch(1, $1, $2, lease => '1s')`, [source, tenant_id]);
		assert.equal(event_id, event.id);
		assert.equal((await rowOf(event)).state, 'processing');
		await drained();
		const { state, attempt } = await rowOf(event);
		assert.deepEqual([state, attempt], ['processed', 2]);
	}

	/** It is answered while there is no worker at all, and nothing was done about it yet. */
	async function isAnsweredAtOnce() {
		const event = await prepare();
		await doesNothing(world, () => receives(event));
		const { state, attempt } = await rowOf(event);
		assert.deepEqual([state, attempt], ['pending', 0]);
	}

	/** Before it was processed, and after; it is not processed again. */
	async function duplicateIsAnswered() {
		const event = await prepare();
		await receives(event);
		for (let i = 0; i < 2; i++) {
			const { status, body } = await doesNothing(world, () => deliver(event, { to: otherApp }));
			assert.deepEqual([status, body], [200, { received: true, duplicate: true }]);
			await drained();
		}
		await doesNothing(world, drained);
		const { state, attempt } = await rowOf(event);
		assert.deepEqual([state, attempt], ['processed', 1]);
	}

	async function payloadIsStored() {
		const event = await prepare();
		await receives(event);
		await deliver({ ...event, type: 'changed.on.the.way' });
		const { payload, event_type } = await rowOf(event);
		assert.deepEqual(payload, { object: 'event', ...event });
		assert.equal(event_type, event.type);
	}

	/** The worker's log and the inbox tell what went wrong; the event is tried again and succeeds. */
	async function failureIsLogged() {
		const event = await prepare();
		await receives(event);
		const worker = await withSetting(world, 'idempotency.webhook_backoff_base', '1s', () => whileWorkersFail(world, async () => {
			const worker = await world.startWorker();
			await until('the failure is logged', () => worker.log.some((line) => /"message":"event failed"/.test(line) && line.includes(event.id)));
			return worker;
		}));
		try {
			assert.match((await rowOf(event)).last_error, /permission denied/);
			await until('it is processed', async () => (await rowOf(event)).state === 'processed');
			assert((await rowOf(event)).attempt > 1);
		} finally {
			await worker.kill();
		}
	}

	/** Nothing is done before a worker runs, and everything when one has. */
	async function isProcessedFromQueue() {
		await drained();
		const events = [];
		for (let i = 0; i < 3; i++) {
			events.push(await prepare());
		}
		await doesNothing(world, async () => {
			for (const event of events) {
				await receives(event);
			}
		});
		const { effects } = await effectsOf(world, drained);
		assert.notDeepEqual(effects, {});
		for (const event of events) {
			const { state, attempt } = await rowOf(event);
			assert.deepEqual([state, attempt], ['processed', 1]);
		}
	}

	/**
	 * While one worker is at an event another one passes it over, and does what comes next.
	 *
	 * @param {object} event
	 * @param {object} next  of another stream
	 * @param {() => Promise<() => Promise<void>>} lock  locks what the first event's handler needs
	 */
	async function isHandledByOne(event, next, lock) {
		await drained();
		const release = await lock();
		const workers = [await world.startWorker(), await world.startWorker()];
		try {
			await receives(event);
			await world.blocked(1, 'ticketing_worker');
			await receives(next);
			await until('the other worker has done what comes next', async () => (await rowOf(next)).state === 'processed');
			assert.equal(await world.waiting('ticketing_worker'), 1);
		} finally {
			await release();
		}
		await until('it is processed', async () => (await rowOf(event)).state === 'processed');
		await Promise.all(workers.map((worker) => worker.stop()));
		assert.equal((await rowOf(event)).attempt, 1);
	}

	async function receives(event) {
		const { status, body } = await deliver(event);
		assert.deepEqual([status, body], [200, { received: true, duplicate: false }]);
	}

	/** Has a worker process all there is. */
	async function drained() {
		const worker = await world.startWorker();
		try {
			await until('all events are processed', async () => {
				const { rows } = await world.sql.query(`SELECT FROM webhook_inbox WHERE state IN ('pending', 'processing')`);
				return rows.length === 0;
			});
		} finally {
			await worker.stop();
		}
	}

	async function rowOf({ id }) {
		const { rows } = await world.sql.query('SELECT * FROM webhook_inbox WHERE source = $1 AND event_id = $2', [source, id]);
		assert(rows.length <= 1, `${rows.length} rows of the event ${id}`);
		return rows[0];
	}

	return {
		deliver, receives, drained, rowOf,
		signatureComesFirst, idIsChecked, isRecordedOnce, stateIsTracked, isAnsweredAtOnce, duplicateIsAnswered, payloadIsStored,
		failureIsLogged, isProcessedFromQueue, isHandledByOne,
	};
}

export function eventId() {
	return `evt_${randomUUID().replaceAll('-', '')}`;
}

/** Runs work while no worker can finish an event. */
function whileWorkersFail(world, work) {
	return without(world, 'EXECUTE ON FUNCTION webhook_inbox_complete(text, text, text, bigint)', 'ticketing_worker', work);
}
