/**
 * Does work between something that is done before it, and something that is
 * done after it however it ends.
 *
 * @template T
 * @param {() => unknown} before
 * @param {() => unknown} after
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
export async function between(before, after, work) {
	await before();
	try {
		return await work();
	} finally {
		await after();
	}
}

/** Does work while a role lacks a right, so that what needs it fails. */
export function without({ sql }, right, role, work) {
	return between(() => sql.query(`REVOKE ${right} FROM ${role}`), () => sql.query(`GRANT ${right} TO ${role}`), work);
}
