/** Somebody's new type of ticket. */
export async function sells({ sql }, tenant, { price = 5000, capacity = 1000 } = {}) {
	const { rows: [{ id }] } = await sql.query(
		`INSERT INTO ticket_types (tenant, name, price, capacity, available) VALUES ($1, 'seats', $2, $3, $3) RETURNING id`, [tenant, price, capacity]);
	return id;
}

/** Leaves one ticket of a type, until the function that is returned is called. */
export async function leavesOne({ sql }, type) {
	const left = (available) => sql.query(`UPDATE ticket_types SET available = ${available} WHERE id = $1`, [type]);
	await left(1);
	return () => left('capacity');
}

/**
 * Sends requests that have all come to the same row before one of them goes on.
 *
 * @param {{lock: string, values: unknown[], size: number}} how
 * @param {(to: {url: string}, i: number) => Promise<object>} request
 * @returns {Promise<object[]>} their answers
 */
export async function crowd(world, { lock, values, size }, request) {
	const release = await world.lock(lock, values);
	const sent = Array.from({ length: size }, (_, i) => request(world.apps[i % 2], i));
	try {
		await world.blocked(size);
	} finally {
		await release();
	}
	return Promise.all(sent);
}
