import assert from 'node:assert/strict';
import pg from 'pg';

/** The row of a key that was used once. */
export async function rowOf(world, key) {
	const rows = await rowsOf(world, key);
	assert.equal(rows.length, 1, `${rows.length} rows of the key ${key}`);
	return rows[0];
}

/** The rows of a key, in the order in which it was claimed. */
export async function rowsOf({ sql }, key) {
	const { rows } = await sql.query('SELECT * FROM idempotency_keys WHERE key = $1 ORDER BY created_at', [key]);
	return rows;
}

/** Seconds from one time to another, rounded. */
export function seconds(from, to) {
	return Math.round((to - from) / 1000);
}

/**
 * A query by a role of the application's, on a connection of its own: it sees
 * the database's settings as they are now.
 *
 * @param {'ticketing_app' | 'ticketing_worker' | 'ticketing_operator'} user
 */
export async function queryAs({ database }, user, query, values) {
	const client = new pg.Client({ database, user });
	await client.connect();
	try {
		return (await client.query(query, values)).rows;
	} finally {
		await client.end();
	}
}
