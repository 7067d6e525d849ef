import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { checksOf } from './checks.js';
import { clientOf } from './client.js';
import { crowd } from './crowd.js';
import { inboxOf } from './inbox.js';
import { moneyOf, settled } from './money.js';
import { ANN, assertProblem, assertReplay, BOB, protectionOf } from './protection.js';
import { changingRoutes, routeOf } from './routes.js';
import { leavesOne, sells } from './seats.js';
import { assertSound, doesNothing, effectsOf } from './state.js';
import { storeOf } from './store.js';
import { startWorld } from './world.js';

const { check, complete } = checksOf('tickets');
const world = await startWorld();
const ann = clientOf(world.apps[0]);
const keys = storeOf(world, 'idempotency_keys');

const trials = {
	purchase: (who) => some(who, '/tickets/purchase'),
	reservation: (who) => some(who, '/tickets/reservations'),
	/** What was held is bought. */
	ofReserved: async (who) => ({
		path: '/tickets/purchase', body: { reservation: await held(who) }, another: { body: { reservation: await held(who) } },
	}),
};
const [purchase, reservation, ofReserved] = Object.values(trials).map((prepare) => protectionOf(world, prepare));
const money = moneyOf(world);
const inbox = inboxOf(world, 'stripe', async () => settled((await money.intended(ANN)).intent));

check('TP1', purchase.needsKey);
check('TP2', async () => {
	const key = randomUUID();
	const { body: { tickets } } = await purchase.works(await trials.purchase(ANN), key);
	const { rows } = await world.sql.query(`SELECT id FROM tickets WHERE tenant = 'acme' AND owner = 'ann' AND idempotency_key = $1 ORDER BY id`, [key]);
	assert.deepEqual(rows.map(({ id }) => id), tickets.map(({ id }) => id));
	const { rows: events } = await world.sql.query('SELECT aggregate FROM events WHERE idempotency_key = $1 ORDER BY 1', [key]);
	assert.deepEqual(events.map(({ aggregate }) => aggregate), tickets.map(({ id }) => `ticket:${id}`).sort());
});
check('TP3', async () => {
	await ofReserved.countsForTenant();
	await keys.isUnique('tenant_id', 'scope', 'key');
	await keys.everyUniqueIndexBeginsWithTenant();
});
check('TP4', ofReserved.isRetriedAfterFailure);
check('TP5', async () => {
	await purchase.isReplayed();
	const paid = await effectsOf(world, async () => purchase.works(await trials.purchase(ANN)));
	assert.deepEqual([paid.effects.tickets, paid.effects.ledger], [{ added: 2, changed: 0 }, { added: 4, changed: 0 }]);
	await assertSound(world);
});

check('TW1', inbox.signatureComesFirst);
check('TW2', inbox.idIsChecked);
check('TW3', inbox.stateIsTracked);
check('TW4', inbox.isAnsweredAtOnce);
check('TW5', async () => {
	await inbox.duplicateIsAnswered();
	await inbox.isRecordedOnce();
});
check('TW6', inbox.payloadIsStored);
check('TW7', inbox.failureIsLogged);

check('TU1', purchase.acceptsKey);
check('TU2', () => purchase.refusesKeys('not-a-uuid-but-long-enough', 'short', 'k'.repeat(256), randomUUID().replaceAll('-', '')));
check('TU3', ofReserved.isReplayed);
check('TU4', () => sellsNoMoreThanThereIs(['/tickets/purchase']));
check('TU5', purchase.countsForTenant);
check('TU6', purchase.isExclusive);
check('TU7', purchase.refusesAnother);
check('TU8', purchase.isKeptForADay);

check('TR1', reservation.isProtected);
check('TR2', async () => {
	await sellsNoMoreThanThereIs(['/tickets/reservations', '/tickets/purchase']);
	await givesBackWhatWasHeldTooLong();
});
check('TR3', async () => {
	await ofReserved.isExclusive();
	const trial = await trials.ofReserved(ANN);
	const sent = await crowd(world, { lock: 'SELECT FROM reservations WHERE id = $1 FOR UPDATE', values: [trial.body.reservation], size: 6 },
		(to) => clientOf(to, ANN).post(trial.path, trial.body));
	assert.deepEqual(sent.map(({ status }) => status).sort(), [201, 409, 409, 409, 409, 409]);
	assertProblem(await doesNothing(world, () => clientOf(world.apps[0], BOB).post(trial.path, trial.another.body)), 409, 'not_held');
});

check('TS1', async () => {
	const covered = new Set();
	for (const [prepare, route] of [[trials.purchase, purchase], [trials.reservation, reservation], [trials.ofReserved, ofReserved]]) {
		await route.needsKey();
		await route.isReplayed();
		covered.add(routeOf(await prepare(ANN)));
	}
	assert.deepEqual([...covered].sort(), await changingRoutes('/tickets'));
	const { body: { tickets: [ticket] } } = await purchase.works(await trials.purchase(ANN));
	assert.deepEqual((await ann.get(`/tickets/${ticket.id}`)).body, ticket);
	assertProblem(await clientOf(world.apps[0], BOB).get(`/tickets/${ticket.id}`), 404, 'no_such_ticket');
});
check('TS2', purchase.survivesCrash);
check('TS3', async () => {
	await reservation.isExclusive();
	const key = randomUUID();
	await reservation.works(await trials.reservation(ANN), key);
	await world.sql.query(`UPDATE idempotency_keys SET expires_at = created_at WHERE key = $1`, [key]);
	const first = await reservation.inProgress(ANN, key, await trials.reservation(ANN), async (others) => {
		assert.deepEqual(new Set(others.map(({ status }) => status)), new Set([409]));
	});
	assert.equal(first.status, 201);
});
check('TS4', async () => {
	for (const route of [purchase, reservation, ofReserved]) {
		await route.saysItIsReplayed();
	}
});
check('TS5', async () => {
	await reservation.countsForTenant();
	await ofReserved.countsForTenant();
});
check('TS6', async () => {
	await purchase.failureIsNotStored();
	await reservation.failureIsNotStored();
});
check('TS7', async () => {
	await purchase.isRetriedAfterFailure();
	await reservation.isRetriedAfterFailure();
});
check('TS8', async () => {
	await purchase.keepsRefusals(soldOut);
	const { body } = await ann.send('POST', '/tickets/purchase', { body: (await trials.purchase(ANN)).body });
	assert.equal(body.retention.client_error, '1h');
});
check('TS9', async () => {
	const trial = await trials.purchase(ANN);
	const [expired, alive] = [randomUUID(), randomUUID()];
	await purchase.works(trial, expired);
	const first = await purchase.works(trial, alive);
	await keys.isSwept([expired], [alive]);
	await purchase.works(trial, expired);
	await keys.isSweptInTime([expired]);
	assertReplay(await purchase.send(trial, alive), first);
});
check('TS10', inbox.isProcessedFromQueue);

complete();

/** Two tickets, or three, of a type of their own. */
async function some({ tenant }, path) {
	const type = await sells(world, tenant);
	return { path, body: { type, quantity: 2 }, another: { body: { type, quantity: 3 } } };
}

/** A reservation of somebody's. */
async function held(who) {
	const { body } = await clientOf(world.apps[0], who).post('/tickets/reservations', { type: await sells(world, who.tenant), quantity: 2 });
	return body.id;
}

/** Two tickets of which one is left, until all are. */
async function soldOut(who) {
	const { path, body } = await trials.purchase(who);
	return { path, body, mend: await leavesOne(world, body.type) };
}

/** Many want the last seats at once, each under a key of their own. */
async function sellsNoMoreThanThereIs(paths) {
	const type = await sells(world, 'acme', { capacity: 5 });
	const answers = await crowd(world, { lock: 'SELECT FROM ticket_types WHERE id = $1 FOR UPDATE', values: [type], size: 12 },
		(to, i) => clientOf(to, { tenant: 'acme', sub: `buyer ${i}` }).post(paths[i % paths.length], { type, quantity: 1 }));
	assert.equal(answers.filter(({ status }) => status === 201).length, 5);
	for (const answer of answers.filter(({ status }) => status !== 201)) {
		assertProblem(answer, 409, 'sold_out');
	}
	const { rows: [{ available, taken }] } = await world.sql.query(
		`SELECT available, (SELECT count(*) FROM tickets WHERE type = $1)::int + (SELECT count(*) FROM reservations WHERE type = $1)::int AS taken
		FROM ticket_types WHERE id = $1`, [type]);
	assert.deepEqual({ available, taken }, { available: 0, taken: 5 });
	await assertSound(world);
}

/** Once its time is over, what is held can't be bought by who held it, and can by others, once. */
async function givesBackWhatWasHeldTooLong() {
	const type = await sells(world, 'acme', { capacity: 3 });
	const { body: { id } } = await ann.post('/tickets/reservations', { type, quantity: 3 });
	assertProblem(await ann.post('/tickets/purchase', { type, quantity: 1 }), 409, 'sold_out');
	await world.sql.query('UPDATE reservations SET held_until = created_at WHERE id = $1', [id]);
	assertProblem(await ann.post('/tickets/purchase', { reservation: id }), 409, 'not_held');
	const statuses = [];
	for (let i = 0; i < 4; i++) {
		statuses.push((await ann.post('/tickets/purchase', { type, quantity: 1 })).status);
	}
	assert.deepEqual(statuses, [201, 201, 201, 409]);
}
