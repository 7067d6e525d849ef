import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { clientOf } from '../audit/client.js';
import { later } from '../audit/later.js';
import { until } from '../audit/until.js';
import { startWorld } from '../audit/world.js';
import { crashDatabase } from './database.js';
import { deliverEvents } from './provider.js';
import { isFinal, load, Traffic } from './traffic.js';

const seconds = Number(process.env.SECONDS ?? 120);
const world = await startWorld();
const { authorization } = clientOf(world.apps[0]);
await world.sql.query(
	`INSERT INTO ticket_types (tenant, name, price, capacity, available)
	SELECT 'acme', 'block ' || n, 1000 * n, 1500, 1500 FROM generate_series(1, 3) AS n`);
const traffic = new Traffic((await world.sql.query('SELECT id FROM ticket_types')).rows.map(({ id }) => id));
const killed = [];

await world.startWorker();
const events = deliverEvents(world);
const loads = world.apps.map((app) => load(app, traffic, { authorization, seconds }));
await kill('an application', restartFirst);
await kill('the database', crashDatabase);
await Promise.all(loads);
// for whom it is later, the leases of the killed have lapsed
await later(world, '31min', async (app) => {
	await askAgain(app);
	await events.stop();
	await world.startWorker();
	await until('the workers are done', async () => await open() === 0);
});

test('requests were sent again, and both were killed', (t) => {
	const sent = traffic.requests.reduce((sum, request) => sum + request.sent, 0);
	const answers = traffic.requests.flatMap((request) => request.answers);
	const count = (status) => answers.filter((answer) => answer.status === status).length;
	t.diagnostic(`${traffic.requests.length} requests, sent ${sent} times: ${answers.filter(({ replayed }) => replayed).length} replays, `
		+ `${count(409)} times 409, ${count(500) + count(503)} times 5xx, ${sent - answers.length} lost answers`);
	t.diagnostic(`${world.stripe.made.length} charges, ${traffic.requests.filter(isDone('/tickets/purchase')).length} purchases, `
		+ `${traffic.requests.filter(isDone('/reserve')).length} reserved orders`);
	assert.deepEqual(killed, ['an application', 'the database']);
	assert(sent > 1.1 * traffic.requests.length);
	assert(answers.some(({ replayed }) => replayed));
});

test('every request has a definite answer in the end', () => {
	assert.deepEqual(traffic.requests.filter(({ answer }) => !answer), []);
});

test('nothing but success or sold out is the answer', () => {
	const others = traffic.requests.filter(({ answer }) => !/^20[01] /.test(`${answer.status} `) && !/sold_out/.test(answer.text));
	assert.deepEqual(others, []);
});

test('whoever asks again gets the same answer, byte for byte', () => {
	const unlike = traffic.requests.filter(({ answers, answer }) => (
		answers.filter(isFinal).some(({ status, text }) => status !== answer.status || text !== answer.text)));
	assert.deepEqual(unlike, []);
});

test('no seat is oversold', async () => {
	const { rows } = await world.sql.query(
		`SELECT capacity, available,
			(SELECT count(*)::int FROM tickets WHERE type = t.id)
			+ (SELECT coalesce(sum(quantity), 0)::int FROM orders WHERE type = t.id AND state = 'reserved') AS sold
		FROM ticket_types AS t`);
	for (const { capacity, available, sold } of rows) {
		assert.equal(sold, capacity - available);
	}
});

test('each purchase has its tickets once', async () => {
	const { rows } = await world.sql.query('SELECT idempotency_key AS key, count(*)::int FROM tickets GROUP BY 1');
	const bought = traffic.requests.filter(isDone('/tickets/purchase')).map(({ key, body }) => [key, body.quantity]);
	assert.deepEqual(new Map(rows.map(({ key, count }) => [key, count])), new Map(bought));
});

test('each order is made once', async () => {
	assert.equal(await number('SELECT count(*) FROM orders'), traffic.requests.filter(isDone('/orders')).length);
});

test('no card is charged twice, and none for nothing', async () => {
	const charged = world.stripe.made.map(({ object }) => object.metadata.payment).sort();
	const told = traffic.requests.filter(isDone('/payments/process')).map(({ answer }) => String(JSON.parse(answer.text).id)).sort();
	assert.deepEqual(charged, told);
	assert.equal(await number(`SELECT count(*) FROM payments WHERE state = 'succeeded'`), told.length);
});

test('the ledger balances, and is what the clients were told', async () => {
	assert.equal(await number('SELECT count(*) FROM (SELECT FROM ledger GROUP BY tenant, transfer HAVING sum(amount) <> 0) AS t'), 0);
	const told = traffic.requests.reduce((sum, request) => sum + amountOf(request), 0);
	assert.equal(await number(`SELECT sum(amount) FROM ledger WHERE account = 'sales'`), told);
});

test('each event of the provider is processed once', async () => {
	assert.equal(await number(`SELECT count(*) FROM webhook_inbox WHERE state = 'processed'`), world.stripe.made.length);
});

/** Kills something when a third of the time has gone by. */
async function kill(what, killing) {
	await pause(1000 * seconds / 3);
	await killing();
	killed.push(what);
	console.log(`${traffic.requests.length} requests, ${what} killed and started again`);
}

async function restartFirst() {
	const [app] = world.apps;
	await app.kill();
	world.apps[0] = await world.startApp({ PORT: new URL(app.url).port });
}

/** Those who still don't know ask until they do. */
async function askAgain(app) {
	const client = clientOf(app);
	const open = traffic.requests.filter(({ answer }) => !answer);
	await Promise.all(Array.from({ length: 10 }, async () => {
		for (let request; (request = open.pop());) {
			await until(`${request.path} is answered`, () => ask(client, request));
		}
	}));
}

async function ask(client, request) {
	request.sent++;
	const { status, text, headers } = await client.post(request.path, request.body, request.key);
	traffic.answered(request, { status, text, replayed: headers.has('idempotent-replayed') });
	return request.answer;
}

function isDone(path) {
	return (request) => request.path.endsWith(path) && request.answer.status < 300;
}

/** What a client believes to have paid. */
function amountOf({ path, body, answer }) {
	if (answer.status >= 300 || path === '/orders') {
		return 0;
	}
	return path === '/payments/process' ? body.amount : JSON.parse(answer.text).total;
}

/** How many events have yet to be processed. */
function open() {
	return number(`SELECT count(*) FROM webhook_inbox WHERE state NOT IN ('processed', 'dead')`);
}

async function number(query) {
	const { rows: [row] } = await world.sql.query(query);
	return Number(Object.values(row)[0]);
}
