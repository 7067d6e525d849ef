/** Waits until something is so, for at most half a minute. */
export async function until(what, condition) {
	const deadline = Date.now() + 30_000;
	for (;;) {
		const value = await condition();
		if (value) {
			return value;
		}
		if (Date.now() > deadline) {
			throw new Error(`waited in vain until ${what}`);
		}
		await new Promise((resolve) => { setTimeout(resolve, 20); });
	}
}
