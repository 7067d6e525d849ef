/**
 * Does work in a transaction: it is committed, or if the work throws undone.
 *
 * @template T
 * @param {import('pg').Pool} pool
 * @param {(client: import('pg').PoolClient) => Promise<T>} work
 * @returns {Promise<T>}
 */
export async function inTransaction(pool, work) {
	const client = await pool.connect();
	// an error on a connection is the next query's to report
	client.on('error', ignore);
	let broken;
	try {
		await client.query('BEGIN');
		const result = await work(client);
		await client.query('COMMIT');
		return result;
	} catch (error) {
		broken = await client.query('ROLLBACK').then(() => undefined, (lost) => lost);
		throw error;
	} finally {
		client.off('error', ignore);
		client.release(broken);
	}
}

function ignore() {}
