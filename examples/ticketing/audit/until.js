/** Waits until something is so, but not forever. */
export async function until(what, condition, seconds = 30) {
	const deadline = Date.now() + seconds * 1000;
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
