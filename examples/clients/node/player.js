// Plays a scenario: player.js CONNECTION-STRING SCENARIO LABEL.  With a fourth
// argument, one step, it holds that at its heart until it is killed.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { isDeepStrictEqual } from 'node:util';
import pg from 'pg';
import { aroundCall, inOneTransaction, statusOf } from './recipe.js';

const [connectionString, file, label, heldStep] = process.argv.slice(2);
const { types, scenes } = JSON.parse(await readFile(file, 'utf8'));
const tenant = label;

const pool = new pg.Pool({ connectionString, max: 20 });
pool.on('error', () => {});		// an idle connection that breaks is replaced by the pool

/** What is called by its name in a step, with the step and the scene's variables. */
const steps = { call, transaction, book, pay, race, crash, repeat };

async function play({ steps: list }, scene) {
	for (const [number, step] of list.entries()) {
		try {
			await playStep(step, scene);
		} catch (error) {
			error.message = `step ${number + 1}, ${JSON.stringify(step)}:\n${error.message}`;
			throw error;
		}
	}
}

async function playStep(step, scene) {
	const name = Object.keys(steps).find((name) => name in step);
	let result;
	try {
		result = await steps[name](step, scene);
	} catch (error) {
		if (!step.error || !(error instanceof pg.DatabaseError)) {
			throw error;
		}
		assert.deepEqual({ error: error.code, status: statusOf(error) }, { error: step.error, status: step.status });
		return;
	}
	assert.equal(step.error, undefined, `there was no error, but ${JSON.stringify(result)}`);
	if ('expect' in step) {
		compare(result, step.expect, scene);
	}
	for (const [column, variable] of Object.entries(step.save ?? {})) {
		scene.variables[variable] = result[0][column];
	}
}

// The steps.

async function call({ session, call: name, with: given }, scene) {
	const names = Object.keys(given);
	const list = names.map((argument, i) => `${argument} => $${i + 1}::${typeOf(argument, given[argument])}`);
	const values = names.map((argument) => parameter(argument, valueOf(given[argument], scene)));
	const client = await sessionOf(session, scene);
	return (await client.query(`SELECT * FROM ${name}(${list})`, values)).rows;
}

async function transaction({ session, transaction: command }, scene) {
	await (await sessionOf(session, scene)).query(command);
}

/** Books a seat in one transaction. */
function book({ book: { key, seat, wait, first, response } }, scene, hold = () => {}) {
	let tries = 0;
	return inOneTransaction(pool, { tenant, scope: 'POST /bookings', key, body: { seat }, wait }, async (client) => {
		await bookSeat(client, seat, tries++ === 0 && first);
		await hold();
		return { ...response, body: bytesOrText(response.body) };
	});
}

/** Charges a card at the provider, then books the seat. */
function pay({ pay: { key, seat, wait, lease, first, response } }, scene, hold = () => {}) {
	let tries = 0;
	return aroundCall(pool, { tenant, scope: 'POST /payments', key, body: { seat }, wait, lease }, async (callKey) => {
		await charge(seat, callKey);
		await hold();
	}, async (client) => {
		await bookSeat(client, seat, tries++ === 0 && first);
		return response;
	});
}

/** Many at once.  If it is held, who has got the work waits until all others have been answered, for a minute at most. */
async function race(step, scene) {
	let still = step.race;
	let letGo;
	const allHaveArrived = new Promise((resolve) => { letGo = resolve; });
	const deadline = setTimeout(letGo, 60_000);
	const arrive = () => { if (--still === 0) { letGo(); } };
	const contend = async () => {
		let working = false;
		const hold = () => { working = true; arrive(); return allHaveArrived; };
		const { outcome } = await book(step, scene, step.held ? hold : undefined);
		if (!working) {
			arrive();
		}
		return outcome;
	};
	const counts = {};
	for (const outcome of await Promise.all(Array.from({ length: step.race }, contend))) {
		counts[outcome] = (counts[outcome] ?? 0) + 1;
	}
	clearTimeout(deadline);
	assert.deepEqual(counts, step.outcomes);
}

/** Plays a step in another process, which is killed at its heart. */
async function crash({ crash: step }) {
	const holder = spawn(process.execPath, [process.argv[1], connectionString, file, label, JSON.stringify(step)],
		{ stdio: ['pipe', 'pipe', 'inherit'] });
	const [said] = await Promise.race([once(holder.stdout, 'data'), once(holder, 'exit')]);
	assert.equal(String(said), 'holding\n');
	holder.kill('SIGKILL');
	await once(holder, 'close');
}

async function repeat({ repeat: times, steps: list }, scene) {
	for (let i = 0; i < times; i++) {
		await play({ steps: list }, scene);
	}
}

// What they need.

async function sessionOf(name, scene) {
	return scene.sessions[name] ??= await pool.connect();
}

async function bookSeat(client, seat, first) {
	if (first) {
		await client.query(first);
	}
	await client.query('INSERT INTO bookings VALUES ($1, $2)', [tenant, seat]);
}

async function charge(seat, callKey) {
	await pool.query('INSERT INTO charges VALUES ($1, $2, $3) ON CONFLICT DO NOTHING', [tenant, seat, callKey]);
}

function bytesOrText(value) {
	return value?.hex === undefined ? value : Buffer.from(value.hex, 'hex');
}

/** The overloads of idempotency_complete differ in the type of the body. */
function typeOf(argument, value) {
	if (argument === 'response_body' && value?.hex !== undefined) {
		return 'bytea';
	}
	return argument === 'response_body' && value?.jsonb !== undefined ? 'jsonb' : types[argument];
}

function valueOf(value, scene) {
	return typeof value === 'string' && value.startsWith('$') ? scene.variables[value.slice(1)] : value;
}

function parameter(argument, value) {
	if (argument === 'response_body') {
		return value?.jsonb ?? bytesOrText(value);
	}
	// of jsonb, a string is how the document is spelt
	return types[argument] === 'jsonb' && value !== null && typeof value !== 'string' ? JSON.stringify(value) : value;
}

/** An array stands for exactly these rows, an object for one; either names the columns that matter. */
function compare(result, expected, scene) {
	const rows = [result].flat();
	const expectedRows = [expected].flat();
	assert.equal(rows.length, expectedRows.length, `rows: ${JSON.stringify(rows)}`);
	expectedRows.forEach((row, i) => {
		for (const [column, value] of Object.entries(row)) {
			assert.ok(matches(rows[i][column], value, types[column], scene),
				`${column} is ${JSON.stringify(rows[i][column])}`);
		}
	});
}

function matches(value, expected, type, scene) {
	if (expected?.above !== undefined) {
		return BigInt(value) > BigInt(valueOf(expected.above, scene));
	}
	if (type === 'bigint' && expected !== null) {
		return value === String(expected);
	}
	return isDeepStrictEqual(value, bytesOrText(expected));
}

function holdForever() {
	process.stdout.write('holding\n');
	process.stdin.on('end', () => process.exit(1)).resume();		// the player is gone
	return new Promise(() => {});
}

async function playScenario() {
	console.log(`1..${scenes.length}`);
	for (const [i, scene] of scenes.entries()) {
		const state = { sessions: {}, variables: {} };
		try {
			await play(scene, state);
			console.log(`ok ${i + 1} - ${label}: ${scene.name}`);
		} catch (error) {
			console.log(`not ok ${i + 1} - ${label}: ${scene.name}`);
			console.log(error.message.replace(/^/gm, '# '));
		}
		// closed, not returned: a scene that has failed may have left a transaction open
		Object.values(state.sessions).forEach((client) => client.release(true));
	}
}

if (heldStep) {
	const step = JSON.parse(heldStep);
	await ('book' in step ? book : pay)(step, {}, holdForever);
} else {
	await playScenario();
	await pool.end();
}
