import assert from 'node:assert/strict';
import { until } from './until.js';

/**
 * What is asserted of the tables in which the extension keeps what it knows:
 * the keys of requests, and the events of webhooks.
 *
 * @param {Awaited<ReturnType<import('./world.js').startWorld>>} world
 * @param {'idempotency_keys' | 'webhook_inbox'} table
 */
export function storeOf({ sql, database, server }, table) {
	const name = table === 'idempotency_keys' ? 'key' : 'event_id';

	/**
	 * What is there can't be there twice, whoever writes it.
	 *
	 * @param {string[]} columns  that may occur once together, in any order
	 */
	async function isUnique(...columns) {
		await assert.rejects(sql.query(`INSERT INTO ${table} SELECT * FROM ${table} LIMIT 1`), { code: '23505', table });
		assert((await uniqueIndexes()).some((index) => String(index.sort()) === String(columns.sort())), `nothing keeps ${columns} unique`);
	}

	async function everyUniqueIndexBeginsWithTenant() {
		const indexes = await uniqueIndexes();
		assert.notEqual(indexes.length, 0);
		assert.deepEqual(indexes.filter(([first]) => first !== 'tenant_id'), []);
	}

	async function uniqueIndexes() {
		const { rows } = await sql.query(
			`SELECT array_agg(attname::text ORDER BY n) AS columns
			FROM pg_index, unnest(indkey::smallint[]) WITH ORDINALITY AS k (number, n)
			JOIN pg_attribute ON attnum = number
			WHERE indrelid = $1::regclass AND attrelid = indrelid AND indisunique AND indisvalid AND indpred IS NULL
			GROUP BY indexrelid`, [table]);
		return rows.map((row) => row.columns);
	}

	/**
	 * Runs what pg_cron is to run, as it would: what has expired is removed, and
	 * nothing else.
	 *
	 * @param {string[]} expired  keys, or ids of events
	 * @param {string[]} alive
	 */
	async function isSwept(expired, alive) {
		const { rows: jobs } = await server.query('SELECT command, schedule, active FROM cron.job WHERE database = $1', [database]);
		assert.deepEqual(jobs.map(({ schedule, active }) => [schedule, active]), [['* * * * *', true]]);
		await expire(expired);
		await sql.query(jobs[0].command);
		assert.deepEqual(await remaining([...expired, ...alive]), [...alive].sort());
	}

	/** And pg_cron does run it, every minute. */
	async function isSweptInTime(expired) {
		await expire(expired);
		await until('pg_cron has removed what has expired', async () => (await remaining(expired)).length === 0, 90);
	}

	async function expire(names) {
		await sql.query(`UPDATE ${table} SET expires_at = clock_timestamp() - interval '1 second' WHERE ${name} = ANY($1)`, [names]);
	}

	async function remaining(names) {
		const { rows } = await sql.query({ text: `SELECT ${name} FROM ${table} WHERE ${name} = ANY($1) ORDER BY 1`, values: [names], rowMode: 'array' });
		return rows.flat();
	}

	return { isUnique, everyUniqueIndexBeginsWithTenant, isSwept, isSweptInTime };
}
