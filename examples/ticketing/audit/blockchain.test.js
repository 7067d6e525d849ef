import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { NAMESPACE } from '../keys.js';
import { between, without } from './between.js';
import { checksOf } from './checks.js';
import { clientOf } from './client.js';
import { crowd } from './crowd.js';
import { queryAs, rowOf, rowsOf, seconds } from './key.js';
import { later, withApp } from './later.js';
import { ANN, BOB, FOREIGN_ANN, assertProblem, assertReplay, protectionOf, whileBroken } from './protection.js';
import { changingRoutes } from './routes.js';
import { sells } from './seats.js';
import { assertSound, doesNothing, effectsOf } from './state.js';
import { storeOf } from './store.js';
import { until } from './until.js';
import { startWorld } from './world.js';

const { check, complete } = checksOf('blockchain');
const world = await startWorld({ chain: true });
const { sql, chain, apps: [app, otherApp] } = world;

const WALLET = '0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed';
const OTHER_WALLET = '0xfb6916095ca1df60bb79ce92ce3ea74c37c5d359';
const PRICE = 5000;

const mint = protectionOf(world, async (who) => ({
	...mintOf(await buys(who)), another: mintOf(await buys(who)),
}));
const purchase = protectionOf(world, async ({ tenant }) => {
	const type = await sells(world, tenant);
	return { ...purchaseOf(type), another: { body: { type, wallet: OTHER_WALLET } } };
});

// from the first mint on the account's nonces are counted here, and can be locked
await mint.works(mintOf(await buys(ANN)));

check('BM1', async () => {
	const [one, other] = [await buys(ANN), await buys(ANN)];
	await mint.works(mintOf(one));
	await mint.works(mintOf(other), randomUUID(), { to: otherApp });
	const keys = [(await mintsOf(one))[0].key, (await mintsOf(other))[0].key];
	assert.notEqual(keys[0], keys[1]);
	assert.deepEqual(keys, await Promise.all([one, other].map(({ id }) => derivedKey('acme', id))));

	const unlucky = await buys(ANN);
	await forbidden(() => mint.send(mintOf(unlucky), randomUUID()));
	await later(world, '3h', (to) => mint.works(mintOf(unlucky), randomUUID(), { to }));
	const attempts = await mintsOf(unlucky);
	assert.deepEqual(attempts.map(({ state }) => state), ['failed', 'confirmed']);
	assert.equal(attempts[0].key, attempts[1].key);
});

check('BM2', async () => {
	const tickets = [await buys(ANN), await buys(ANN), await buys(FOREIGN_ANN)];
	for (const ticket of tickets) {
		await mint.works(mintOf(ticket), randomUUID(), { who: { tenant: ticket.tenant, sub: ticket.owner } });
	}
	const tokens = (await Promise.all(tickets.map(mintsOf))).map(([{ token }]) => token);
	assert.equal(new Set(tokens).size, tickets.length);
	for (const [i, { tenant, id }] of tickets.entries()) {
		assert.equal(BigInt(tokens[i]), BigInt(`0x${(await derivedKey(tenant, id)).replaceAll('-', '')}`));
		assert.equal((await chain.owner(tokens[i])).toLowerCase(), WALLET);
	}
});

check('BM3', async () => {
	const ticket = await buys(ANN);
	const key = randomUUID();
	const before = chain.sent.length;
	await killedBeforeSending(mintOf(ticket), key);
	assert.equal(chain.sent.length, before);
	const [{ hash, signed, state }] = await mintsOf(ticket);
	const { recovery_point, recovery_data, completed_at } = await rowOf(world, key);
	assert.deepEqual([recovery_point, recovery_data.hash, recovery_data.signed, state, completed_at], ['signed', hash, signed, 'pending', null]);
	assert.equal(await chain.owner(recovery_data.token), undefined);

	const answer = await resumed((to) => mint.send(mintOf(ticket), key, { to }));
	assert.deepEqual([answer.status, answer.body.hash], [201, hash]);
	assert.deepEqual(chain.sent.slice(before), [signed]);
	await isMintedOnce(ticket);

	// and so it is where only the answer was lost: the chain is asked, and nothing is sent again
	const second = await buys(ANN);
	const secondKey = randomUUID();
	await killedBeforeConfirmation(mintOf(second), secondKey);
	const again = await resumed((to) => mint.send(mintOf(second), secondKey, { to }));
	assert.equal(again.status, 201);
	assert.equal(chain.sent.length, before + 2);
	await isMintedOnce(second);

	const third = await buys(ANN);
	chain.loseAnswer();
	await mint.works(mintOf(third));
	assert.equal(chain.sent.length, before + 3);
	await isMintedOnce(third);
});

check('BM4', async () => {
	const [lost, unheard] = [await buys(ANN), await buys(ANN)];
	const keys = [randomUUID(), randomUUID()];
	const before = chain.sent.length;
	await killedBeforeSending(mintOf(lost), keys[0]);
	const hashes = await notMining(async () => {
		await killed(mintOf(unheard), keys[1], () => until('it is sent', () => chain.sent.length === before + 1));
		const stored = [(await mintsOf(lost))[0].hash, (await mintsOf(unheard))[0].hash];
		assert.deepEqual(await pending(app, ANN), stored);
		assert.deepEqual(await pending(app, FOREIGN_ANN), []);
		return stored;
	});
	const worker = await world.startWorker();
	try {
		await until('nothing is pending', async () => (await pending(otherApp, ANN)).length === 0);
	} finally {
		await worker.stop();
	}
	await isMintedOnce(lost);
	await isMintedOnce(unheard);
	const answers = await resumed(async (to) => [await mint.send(mintOf(lost), keys[0], { to }), await mint.send(mintOf(unheard), keys[1], { to })]);
	assert.deepEqual(answers.map(({ status, body }) => [status, body.hash]), hashes.map((hash) => [201, hash]));
	assert.deepEqual(new Set(chain.sent.slice(before)).size, 2);

	// a purchase whose mint has failed is paid back by whoever sees it first
	const type = await sells(world, 'acme', { capacity: 10 });
	const key = randomUUID();
	await killedBeforeSending(purchaseOf(type), key);
	await forbidden(async () => {
		const watch = await world.startWorker();
		await until('it is settled', async () => (await sql.query(`SELECT FROM mints WHERE idempotency_key = $1 AND state = 'failed'`, [key])).rows.length);
		await watch.stop();
	});
	await isPaidBack(type);
	assertProblem(await resumed((to) => purchase.send(purchaseOf(type), key, { to })), 409, 'mint_failed');
	await isPaidBack(type);
});

check('BM5', async () => {
	const slow = await buys(ANN);
	const key = randomUUID();
	const before = chain.sent.length;
	const hurried = await world.startApp({ CHAIN_TIMEOUT: '100' });
	const [{ hash }] = await notMining(async () => {
		for (let i = 0; i < 2; i++) {
			const timeout = await mint.send(mintOf(slow), key, { to: hurried });
			assertProblem(timeout, 504, 'pending');
			assert.match(timeout.headers.get('retry-after'), /^[1-9]\d*$/);
		}
		return mintsOf(slow);
	});
	const { completed_at, response_status, recovery_data } = await rowOf(world, key);
	assert.deepEqual([(await mintsOf(slow))[0].state, completed_at, response_status, recovery_data.hash], ['pending', null, null, hash]);
	const done = await mint.send(mintOf(slow), key);
	assert.deepEqual([done.status, done.body.hash], [201, hash]);
	assert.equal(chain.sent.length, before + 1);
	await isMintedOnce(slow);
	await hurried.stop();

	const refused = await buys(ANN);
	const failedKey = randomUUID();
	const failure = await forbidden(() => mint.send(mintOf(refused), failedKey));
	assertProblem(failure, 409, 'mint_failed');
	assert.deepEqual((await mintsOf(refused)).map((row) => row.state), ['failed']);
	assertReplay(await doesNothing(world, () => mint.send(mintOf(refused), failedKey, { to: otherApp })), failure);
	await mint.works(mintOf(refused));
	await isMintedOnce(refused);
});

check('BM6', async () => {
	const ticket = await buys(ANN);
	const key = randomUUID();
	const neither = async () => {
		assert.equal(await tokenOf(ticket), null);
		assert.equal((await mintsOf(ticket))[0].state, 'pending');
		assert.equal((await rowOf(world, key)).completed_at, null);
	};
	assert.equal((await whileBroken(world, () => mint.send(mintOf(ticket), key))).status, 500);
	await neither();
	assert((await whileNothingCompletes(() => mint.send(mintOf(ticket), key))).status >= 400);
	await neither();
	assert.equal((await mint.send(mintOf(ticket), key)).status, 201);
	assert.notEqual((await rowOf(world, key)).completed_at, null);
	await isMintedOnce(ticket);
});

check('BM7', async () => {
	const ticket = await buys(ANN);
	const key = randomUUID();
	const first = await mint.works(mintOf(ticket), key);
	assert.equal(first.status, 201);
	assertReplay(await doesNothing(world, () => mint.send(mintOf(ticket), key, { to: otherApp })), first);
	const before = chain.sent.length;
	for (const trial of [mintOf(ticket), { ...mintOf(ticket), body: { wallet: OTHER_WALLET } }]) {
		const { status, text } = await mint.send(trial, randomUUID(), { to: otherApp });
		assert.deepEqual([status, text], [200, first.text]);
	}
	assert.equal(chain.sent.length, before);
	await isMintedOnce(ticket);
});

check('BM8', async () => {
	const ticket = await buys(ANN);
	const before = chain.sent.length;
	const answers = await crowd(world, { lock: 'SELECT FROM tickets WHERE id = $1 FOR UPDATE', values: [ticket.id], size: 6 },
		(to) => mint.send(mintOf(ticket), randomUUID(), { to }));
	assert.deepEqual(answers.map(({ status }) => status).sort(), [200, 200, 200, 200, 200, 201]);
	assert.equal(new Set(answers.map(({ text }) => text)).size, 1);
	assert.equal(new Set(chain.sent.slice(before)).size, 1);
	await isMintedOnce(ticket);

	const tickets = await Promise.all(Array.from({ length: 6 }, () => buys(ANN)));
	const others = await crowd(world, { lock: 'SELECT FROM nonces FOR UPDATE', values: [], size: tickets.length },
		(to, i) => mint.send(mintOf(tickets[i]), randomUUID(), { to }));
	assert.deepEqual(others.map(({ status }) => status), Array(6).fill(201));
	const nonces = (await Promise.all(tickets.map(mintsOf))).map(([{ nonce }]) => Number(nonce)).sort((a, b) => a - b);
	assert.deepEqual(nonces, nonces.map((_, i) => nonces[0] + i));
	for (const one of tickets) {
		await isMintedOnce(one);
	}

	// the chain knows of nonces that a database from yesterday's backup does not
	await sql.query('UPDATE nonces SET next = 0');
	const belated = await buys(ANN);
	await mint.works(mintOf(belated));
	await isMintedOnce(belated);
});

check('BP1', purchase.needsKey);

check('BP2', async () => {
	await purchase.refusesKeys('not-a-uuid-but-long-enough', '123e4567-e89b-12d3-a456-42661417400g', 'a'.repeat(256), 'short');
	await purchase.acceptsKey();
});

check('BP3', purchase.isReplayed);

check('BP4', async () => {
	const type = await sells(world, 'acme', { capacity: 2 });
	const answers = await crowd(world, { lock: 'SELECT FROM ticket_types WHERE id = $1 FOR UPDATE', values: [type], size: 5 },
		(to) => purchase.send(purchaseOf(type), randomUUID(), { to }));
	assert.deepEqual(answers.map(({ status }) => status).sort(), [201, 201, 409, 409, 409]);
	for (const answer of answers.filter(({ status }) => status === 409)) {
		assertProblem(answer, 409, 'sold_out');
	}
	assert.equal(await left(type), 0);
	const { rows: tickets } = await sql.query(`SELECT *, price::int FROM tickets WHERE tenant = 'acme' AND type = $1`, [type]);
	assert.deepEqual(tickets.map(({ owner, state, price }) => [owner, state, price]), Array(2).fill(['ann', 'sold', PRICE]));
	for (const ticket of tickets) {
		await isMintedOnce(ticket);
		assert.deepEqual(await paid(ticket.id), [-PRICE]);
	}

	const unlucky = await sells(world, 'acme', { capacity: 2 });
	assertProblem(await forbidden(() => purchase.send(purchaseOf(unlucky), randomUUID())), 409, 'mint_failed');
	await isPaidBack(unlucky, 2);

	// what was reserved for somebody who never came back is somebody else's in the end
	const last = await sells(world, 'acme', { capacity: 1 });
	const key = randomUUID();
	await killedBehind('LOCK TABLE ledger IN SHARE MODE', purchaseOf(last), key);
	assertProblem(await purchase.send(purchaseOf(last), randomUUID()), 409, 'sold_out');
	await sql.query('UPDATE reservations SET held_until = now() WHERE type = $1', [last]);
	await purchase.works(purchaseOf(last));
	assertProblem(await resumed((to) => purchase.send(purchaseOf(last), key, { to })), 409, 'not_held');
	assert.equal(await left(last), 0);
	await assertSound(world);
});

check('BP5', async () => {
	const type = await sells(world, 'acme', { capacity: 10 });
	const key = randomUUID();
	const reached = (point) => until(`it is ${point}`, async () => (await rowsOf(world, key))[0]?.recovery_point === point);
	const ticket = async () => (await sql.query('SELECT * FROM tickets WHERE type = $1', [type])).rows[0];

	const releaseLedger = await world.lock('LOCK TABLE ledger IN SHARE MODE');
	const answer = purchase.send(purchaseOf(type), key);
	await reached('reserved');
	assert.deepEqual([await left(type), await ticket()], [9, undefined]);
	const { rows: reservations } = await sql.query('SELECT user_id, state FROM reservations WHERE type = $1', [type]);
	assert.deepEqual(reservations, [{ user_id: 'ann', state: 'held' }]);

	const releaseNonces = await world.lock('SELECT FROM nonces FOR UPDATE');
	await releaseLedger();
	await reached('paid');
	assert.deepEqual([(await ticket()).state, await paid((await ticket()).id)], ['sold', [-PRICE]]);
	assert.deepEqual(await mintsOf(await ticket()), []);

	const held = chain.hold();
	await releaseNonces();
	await reached('signed');
	assert.deepEqual((await mintsOf(await ticket())).map(({ state }) => state), ['pending']);
	held.release();
	assert.equal((await answer).status, 201);
	assert.equal((await rowOf(world, key)).attempt, 1);
	await isMintedOnce(await ticket());
});

check('BP6', async () => {
	const stops = [
		['reserved', (trial, key) => killedBehind('LOCK TABLE ledger IN SHARE MODE', trial, key)],
		['paid', (trial, key) => killedBehind('SELECT FROM nonces FOR UPDATE', trial, key)],
		['signed', killedBeforeConfirmation],
		['signed', killedBeforeSending],
	];
	const prepare = () => Promise.all(stops.map(async ([point, stop]) => (
		{ point, stop, key: randomUUID(), trial: purchaseOf(await sells(world, 'acme', { capacity: 10 })) })));
	const untroubled = await prepare();
	const { effects: whole } = await effectsOf(world, async () => {
		for (const { trial, key } of untroubled) {
			assert.equal((await purchase.send(trial, key)).status, 201);
		}
	});

	const troubled = await prepare();
	const { result: answers, effects } = await effectsOf(world, async () => {
		for (const { point, stop, trial, key } of troubled) {
			await stop(trial, key);
			assert.equal((await rowOf(world, key)).recovery_point, point);
			assertProblem(await purchase.send(trial, key, { to: otherApp }), 409, 'idempotency_in_progress');
		}
		return resumed((to) => Promise.all(troubled.map(({ trial, key }) => purchase.send(trial, key, { to }))));
	});
	assert.deepEqual(effects, whole);
	for (const [i, { trial, key }] of troubled.entries()) {
		assert.equal(answers[i].status, 201, answers[i].text);
		assert.equal((await rowOf(world, key)).attempt, 2);
		assertReplay(await purchase.send(trial, key), answers[i]);
		await isMintedOnce({ tenant: 'acme', id: answers[i].body.ticket });
	}
	await assertSound(world);
});

check('BP7', purchase.countsForTenant);
check('BP8', purchase.isExclusive);
check('BP9', purchase.refusesAnother);

check('BS1', async () => {
	assert.deepEqual(await changingRoutes('/blockchain', { chain }), ['POST /blockchain/purchases']);
	assert.deepEqual(await changingRoutes('/tickets/:id', { chain }), ['POST /tickets/:id/mint']);
	await purchase.isProtected();
	await mint.isProtected();
});

check('BS2', async () => {
	await mint.survivesCrash();
	await purchase.survivesCrash();
});

check('BS3', async () => {
	await mint.isExclusive();
	await storeOf(world, 'idempotency_keys').isUnique('tenant_id', 'scope', 'key');
});

check('BS4', async () => {
	await mint.saysItIsReplayed();
	await purchase.saysItIsReplayed();
});

check('BS5', async () => {
	await mint.countsForTenant();
	await mint.countsForUser();
	const ticket = await buys(ANN);
	for (const who of [BOB, FOREIGN_ANN]) {
		assertProblem(await mint.send(mintOf(ticket), randomUUID(), { who }), 404, 'no_such_ticket');
	}
	await storeOf(world, 'idempotency_keys').everyUniqueIndexBeginsWithTenant();
});

check('BS6', async () => {
	const ticket = await buys(ANN);
	const key = randomUUID();
	const isNotStored = async () => {
		const { response_status, response_body, completed_at } = await rowOf(world, key);
		assert.deepEqual([response_status, response_body, completed_at], [null, null, null]);
	};
	assertProblem(await cutOff(() => mint.send(mintOf(ticket), key)), 503, 'internal_error');
	await isNotStored();
	assertProblem(await whileBroken(world, () => mint.send(mintOf(ticket), key, { to: otherApp })), 500, 'internal_error');
	await isNotStored();
	assert.equal((await mint.send(mintOf(ticket), key)).status, 201);
});

check('BS7', async () => {
	for (const [protection, trial] of [[mint, mintOf(await buys(ANN))], [purchase, purchaseOf(await sells(world, 'acme', { capacity: 10 }))]]) {
		const key = randomUUID();
		const before = chain.sent.length;
		assert.equal((await cutOff(() => protection.send(trial, key))).status, 503);
		assert.equal((await whileBroken(world, () => protection.send(trial, key, { to: otherApp }))).status, 500);
		const done = await protection.send(trial, key);
		assert.equal(done.status, 201);
		assert.equal((await rowOf(world, key)).attempt, 3);
		assertReplay(await doesNothing(world, () => protection.send(trial, key, { to: otherApp })), done);
		assert.equal(chain.sent.length, before + 1);
		await isMintedOnce({ tenant: 'acme', id: done.body.ticket });
	}
});

check('BS8', async () => {
	const type = await sells(world, 'acme', { capacity: 0 });
	const key = randomUUID();
	const { result: refusal, effects } = await effectsOf(world, () => purchase.send(purchaseOf(type), key));
	assertProblem(refusal, 409, 'sold_out');
	assert.deepEqual(Object.keys(effects), ['usage']);
	const { completed_at, expires_at } = await rowOf(world, key);
	assert.equal(seconds(completed_at, expires_at), 3600);
	await sql.query('UPDATE ticket_types SET capacity = 1, available = 1 WHERE tenant = $1 AND id = $2', ['acme', type]);
	assertReplay(await doesNothing(world, () => purchase.send(purchaseOf(type), key, { to: otherApp })), refusal);
	await later(world, '59min', async (to) => {
		assertReplay(await doesNothing(world, () => purchase.send(purchaseOf(type), key, { to })), refusal);
	});
	await later(world, '61min', (to) => purchase.works(purchaseOf(type), key, { to }));

	const mismatch = await purchase.send({ ...purchaseOf(type), body: { type, wallet: OTHER_WALLET } }, key);
	assertProblem(mismatch, 422, 'idempotency_mismatch');
	assert.equal(mismatch.body.retention.client_error, '1h');
});

check('BS9', async () => {
	const operator = async (query) => (await queryAs(world, 'ticketing_operator', query))[0];
	const count = async () => Object.values(await operator('SELECT claimed, resumed, replayed, mismatch, completed FROM idempotency_stats')).map(Number);
	const inProgress = async () => Number((await operator(
		`SELECT coalesce(sum(in_progress), 0) AS n FROM idempotency_activity WHERE tenant_id = 'acme' AND scope LIKE 'POST /tickets/:id/mint %'`)).n);

	const [ticket, other] = [await buys(ANN), await buys(ANN)];
	const [key, before, working] = [randomUUID(), await count(), await inProgress()];
	const answer = await notMining(async () => {
		const sent = mint.send(mintOf(ticket), key);
		await until('it waits for a block', async () => await chain.waiting() === 1);
		assert.equal(await inProgress(), working + 1);
		assert((await pending(otherApp, ANN)).includes((await mintsOf(ticket))[0].hash));
		return { sent };
	});
	assert.equal((await answer.sent).status, 201);
	assert.equal(await inProgress(), working);
	await mint.send(mintOf(ticket), key);
	await mint.send(mintOf(other), key);
	const after = await count();
	assert.deepEqual(after.map((n, i) => n - before[i]), [1, 0, 1, 1, 1]);
	await until('the replay is logged', () => app.log.some((line) => line.includes('idempotency: replay') && line.includes(key)));
});

test('nobody sees what another has pending', async () => {
	const ticket = await buys(ANN);
	await killedBeforeConfirmation(mintOf(ticket), randomUUID());
	const [{ hash }] = await mintsOf(ticket);
	assert((await pending(app, ANN)).includes(hash));
	assert.deepEqual(await pending(app, BOB), []);
});

test('a transaction that can\'t be sent doesn\'t keep the worker from the others', async () => {
	const [unheard, stuck] = [await buys(ANN), await buys(ANN)];
	await killedBeforeConfirmation(mintOf(unheard), randomUUID());
	await killedBeforeSending(mintOf(stuck), randomUUID());
	await sql.query(`UPDATE mints SET nonce = -1, hash = $2, signed = '0x02', checked_at = '-infinity' WHERE ticket = $1`, [stuck.id, `0x${'0'.repeat(64)}`]);
	const worker = await world.startWorker();
	try {
		await until('the other one is settled', async () => (await mintsOf(unheard))[0].state === 'confirmed');
	} finally {
		await worker.stop();
	}
	assert.equal((await mintsOf(stuck))[0].state, 'pending');
});

complete();

/** A ticket that somebody has bought, without a token. */
async function buys({ tenant, sub }) {
	const { body } = await clientOf(app, { tenant, sub }).post('/tickets/purchase', { type: await sells(world, tenant), quantity: 1 });
	return { tenant, owner: sub, id: body.tickets[0].id };
}

function mintOf({ id }) {
	return { path: `/tickets/${id}/mint`, body: { wallet: WALLET } };
}

function purchaseOf(type) {
	return { path: '/blockchain/purchases', body: { type, wallet: WALLET } };
}

async function mintsOf({ tenant, id }) {
	return (await sql.query('SELECT * FROM mints WHERE tenant = $1 AND ticket = $2 ORDER BY id', [tenant, id])).rows;
}

async function tokenOf({ tenant, id }) {
	return (await sql.query('SELECT token FROM tickets WHERE tenant = $1 AND id = $2', [tenant, id])).rows[0].token;
}

/** The ticket knows the one token that was minted for it, on the chain, for the wallet. */
async function isMintedOnce(ticket) {
	const mints = (await mintsOf(ticket)).filter(({ state }) => state !== 'failed');
	assert.deepEqual(mints.map(({ state }) => state), ['confirmed']);
	const token = await tokenOf(ticket);
	assert.equal(token, mints[0].token);
	assert.equal((await chain.minted()).filter((minted) => minted === token).length, 1);
	assert.equal((await chain.owner(token)).toLowerCase(), WALLET);
}

/** The key of a ticket's mint as the database derives it, in which nothing else can be. */
async function derivedKey(tenant, id) {
	return (await sql.query(`SELECT idempotency_derive_key($1, $2, 'ticket', $3::text, 'mint') AS key`, [NAMESPACE, tenant, id])).rows[0].key;
}

/** The hashes of what somebody has pending, in the order of their nonces. */
async function pending(to, who) {
	return (await clientOf(to, who).get('/blockchain/pending')).body.pending.map(({ hash }) => hash);
}

async function left(type) {
	return (await sql.query(`SELECT available FROM ticket_types WHERE tenant = 'acme' AND id = $1`, [type])).rows[0].available;
}

/** What Ann's account has of a ticket, in order. */
async function paid(ticket) {
	const { rows } = await sql.query(
		`SELECT amount::int FROM ledger WHERE tenant = 'acme' AND account = 'buyer:ann' AND reference LIKE $1 ORDER BY created_at`, [`ticket:${ticket}:%`]);
	return rows.map(({ amount }) => amount);
}

async function isPaidBack(type, capacity = 10) {
	const { rows: [{ id, state, token }] } = await sql.query(`SELECT * FROM tickets WHERE tenant = 'acme' AND type = $1`, [type]);
	assert.deepEqual([state, token, await paid(id), await left(type)], ['cancelled', null, [-PRICE, PRICE], capacity]);
}

/** Kills the process that works on a request, without a chance to say anything, once the request has come so far. */
async function killed(trial, key, comeSoFar) {
	await withApp(world, async (to) => {
		const answer = mint.send(trial, key, { to }).catch(() => undefined);
		await comeSoFar();
		await to.kill();
		assert.equal(await answer, undefined);
	});
}

async function killedBehind(lock, trial, key) {
	const release = await world.lock(lock);
	await killed(trial, key, () => world.blocked());
	await release();
}

/** The transaction is signed and stored, but never gets to the chain. */
async function killedBeforeSending(trial, key) {
	const held = chain.hold();
	await killed(trial, key, () => held.arrived);
	held.drop();
}

/** The chain has the transaction, and mines it once nobody listens any more. */
async function killedBeforeConfirmation(trial, key) {
	await notMining(() => killed(trial, key, () => until('it waits for a block', async () => await chain.waiting() === 1)));
}

/** Does work while no block is mined. */
function notMining(work) {
	return between(chain.stopMining, chain.startMining, work);
}

/** Does work while the contract refuses whatever is asked for. */
function forbidden(work) {
	return between(chain.forbid, chain.allow, work);
}

/** Does work while the chain can't be reached. */
function cutOff(work) {
	return between(chain.cut, chain.mend, work);
}

function whileNothingCompletes(work) {
	return without(world, 'EXECUTE ON FUNCTION idempotency_complete(text, text, bigint, int, text, jsonb, text, interval)', 'ticketing_app', work);
}

/** What becomes of a request whose process has died, once its lease is over. */
function resumed(work) {
	return later(world, '6min', work);
}
