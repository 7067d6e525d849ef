import assert from 'node:assert/strict';

/**
 * All that the application has done: every row of its tables, what Stripe has
 * made for it, and its tokens.
 *
 * @returns {Promise<Record<string, string[]>>} by table
 */
export async function stateOf({ sql, stripe, chain }) {
	const { rows: tables } = await sql.query(
		`SELECT relname AS name FROM pg_class WHERE relnamespace = 'ticketing'::regnamespace AND relkind = 'r' ORDER BY 1`);
	const state = { stripe: stripe.made.map((made) => JSON.stringify(made)), chain: await chain?.minted() ?? [] };
	for (const { name } of tables) {
		const { rows } = await sql.query({ text: `SELECT t::text FROM ticketing.${name} t ORDER BY 1`, rowMode: 'array' });
		state[name] = rows.flat();
	}
	const { rows: [{ requests }] } = await sql.query('SELECT coalesce(sum(requests), 0)::int AS requests FROM ticketing.usage');
	state.usage = Array.from({ length: requests }, (_, i) => `request ${i + 1}`);
	return state;
}

/**
 * What a piece of work does, as numbers that are the same whenever it is done:
 * how many rows it adds to which table, and changes in it.
 *
 * @template T
 * @param {() => Promise<T>} work
 * @returns {Promise<{result: T, effects: Record<string, {added: number, changed: number}>}>}
 */
export async function effectsOf(world, work) {
	const before = await stateOf(world);
	const result = await work();
	const after = await stateOf(world);
	const effects = {};
	for (const [table, rows] of Object.entries(after)) {
		const known = new Set(before[table]);
		const added = rows.length - before[table].length;
		const changed = rows.filter((row) => !known.has(row)).length - added;
		if (added || changed > 0) {
			effects[table] = { added, changed };
		}
	}
	return { result, effects };
}

/** Asserts that a piece of work leaves everything as it is. */
export async function doesNothing(world, work) {
	const before = await stateOf(world);
	const result = await work();
	assert.deepEqual(await stateOf(world), before);
	return result;
}

/** Everybody's money adds up to nothing, and no more is sold than there was. */
export async function assertSound({ sql }) {
	const { rows: [books] } = await sql.query(`SELECT
		(SELECT coalesce(sum(amount), 0)::int FROM ledger) AS balance,
		(SELECT count(*)::int FROM (SELECT FROM ledger GROUP BY tenant, transfer HAVING sum(amount) <> 0) t) AS unbalanced,
		(SELECT count(*)::int FROM ticket_types WHERE available NOT BETWEEN 0 AND capacity) AS oversold`);
	assert.deepEqual(books, { balance: 0, unbalanced: 0, oversold: 0 });
}
