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
