import assert from 'node:assert/strict';

/**
 * What is asserted of the tables in which the extension keeps what it knows:
 * the keys of requests, and the events of webhooks.
 *
 * @param {Awaited<ReturnType<import('./world.js').startWorld>>} world
 * @param {'idempotency_keys' | 'webhook_inbox'} table
 */
export function storeOf({ sql, database, server }, table) {
	/**
	 * What is there can't be there twice, whoever writes it.
	 *
	 * @param {string[]} columns  that may occur once together
	 */
	async function isUnique(...columns) {
		await assert.rejects(sql.query(`INSERT INTO ${table} SELECT * FROM ${table} LIMIT 1`), { code: '23505', table });
		assert((await uniqueIndexes()).some((index) => String(index) === String(columns)), `nothing keeps ${columns} unique`);
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
		const column = table === 'idempotency_keys' ? 'key' : 'event_id';
		await sql.query(`UPDATE ${table} SET expires_at = clock_timestamp() - interval '1 second' WHERE ${column} = ANY($1)`, [expired]);
		await sql.query(jobs[0].command);
		const { rows } = await sql.query({ text: `SELECT ${column} FROM ${table} WHERE ${column} = ANY($1) ORDER BY 1`, values: [[...expired, ...alive]], rowMode: 'array' });
		assert.deepEqual(rows.flat(), [...alive].sort());
	}

	return { isUnique, everyUniqueIndexBeginsWithTenant, isSwept };
}
