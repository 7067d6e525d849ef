// One holds a key for 100 ms, then completes it; meanwhile 64 others ask for
// it, all at once:
//   node duplicates.js PEER answer|blocked SECONDS
// Prints after how many milliseconds a duplicate got its answer (the median),
// or how many connections were waiting for a lock half-way.
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import Redis from 'ioredis';
import pg from 'pg';

const [peerName, measure, seconds] = process.argv.slice(2);
const clients = 64;
const held = 100;
const request = { amount: 100, currency: 'EUR' };
const hash = Buffer.alloc(32);

const select = `SELECT response_status, response_body FROM bare WHERE tenant_id = 'acme' AND key = $1 AND scope = ''`;
const insert = `
	INSERT INTO bare (tenant_id, scope, key, request_hash, token, attempt, created_at, lease_expires_at, expires_at)
	VALUES ('acme', '', $1, $2, 1, 1, clock_timestamp(), clock_timestamp() + interval '30 min', clock_timestamp() + interval '24 h')`;

/** A database's client that prepares its statements. */
async function database() {
	const client = new pg.Client();
	await client.connect();
	let prepared = 0;
	const names = new Map();
	return {
		run(text, values) {
			if (!names.has(text)) names.set(text, `s${prepared++}`);
			return client.query({ name: names.get(text), text, values });
		},
		end: () => client.end(),
	};
}

/** The key is claimed in a transaction that stays open. */
const inTransaction = (claim, complete) => ({
	connect: database,
	async hold(client, key) {
		await client.run('BEGIN');
		return claim(client, key);
	},
	async finish(client, key, claimed) {
		await complete(client, key, claimed);
		await client.run('COMMIT');
	},
	ask: claim,
});

const claim = (client, key) => client.run("SELECT * FROM idempotency_claim('acme', $1, $2)", [key, request]);

const completeByHand = (client, key) => client.run(
	`UPDATE bare SET response_status = 201, completed_at = clock_timestamp(), lease_expires_at = NULL
	WHERE tenant_id = 'acme' AND key = $1 AND scope = ''`, [key]);

const byHand = inTransaction(
	(client, key) => client.run(`${insert} ON CONFLICT (tenant_id, key, scope) DO NOTHING`, [key, hash]),
	completeByHand,
);

/** A SELECT before the INSERT, again and again until it can be serialized. */
async function askSerializable(client, key) {
	for (;;) {
		try {
			await client.run('BEGIN ISOLATION LEVEL SERIALIZABLE');
			const { rowCount } = await client.run(select, [key]);
			if (!rowCount) await client.run(insert, [key, hash]);
			await client.run('COMMIT');
			return;
		} catch (error) {
			await client.run('ROLLBACK');
			if (error.code !== '40001' && error.code !== '23505') throw error;
		}
	}
}

const redis = {
	async connect() {
		const client = new Redis(process.env.REDIS_SOCKET);
		return { set: (key) => client.set(key, 'running', 'EX', 1800, 'NX'), end: () => client.quit() };
	},
	hold: (client, key) => client.set(key),
	finish: async () => {},
	ask: (client, key) => client.set(key),
};

const peer = {
	ours: {
		...inTransaction(claim,
			(client, key, { rows: [{ token }] }) => client.run("SELECT idempotency_complete('acme', $1, $2)", [key, token])),
		async ask(client, key) {
			const { rows: [{ outcome }] } = await claim(client, key);
			if (outcome !== 'in_progress' && outcome !== 'replay') throw new Error(`the outcome was ${outcome}`);
		},
	},
	by_hand: byHand,
	plpgsql: inTransaction(
		(client, key) => client.run("SELECT * FROM claim_by_hand('acme', $1, $2)", [key, request]),
		completeByHand,
	),
	serializable: {
		...byHand,
		async hold(client, key) {
			await client.run('BEGIN ISOLATION LEVEL SERIALIZABLE');
			await client.run(select, [key]);
			await client.run(insert, [key, hash]);
		},
		ask: askSerializable,
	},
	select: {
		connect: database,
		hold: async () => {},
		finish: async () => {},
		ask: (client, key) => client.run(select, [key]),
	},
	redis,
}[peerName];

const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];

async function timed(work) {
	const start = performance.now();
	await work();
	return performance.now() - start;
}

const observer = await database();
async function blocked() {
	const { rows: [{ count }] } = await observer.run(
		"SELECT count(*)::int FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()");
	return count;
}

const holder = await peer.connect();
const others = [];
for (let i = 0; i < clients; i++) others.push(await peer.connect());

async function trial() {
	const key = randomUUID();
	const claimed = await peer.hold(holder, key);
	const over = sleep(held);
	const answers = Promise.all(others.map((client) => timed(() => peer.ask(client, key))));
	await sleep(held / 2);
	const waiting = await blocked();
	await over;
	await peer.finish(holder, key, claimed);
	return { answer: median(await answers), blocked: waiting };
}

await trial();		// prepares the statements
const trials = [];
for (let end = performance.now() + seconds * 1000; !trials.length || performance.now() < end;) trials.push(await trial());
console.log(median(trials.map((each) => each[measure])));

for (const client of [observer, holder, ...others]) await client.end();
