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
