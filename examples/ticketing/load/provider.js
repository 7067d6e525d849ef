/**
 * Delivers an event for each payment that the provider has made, every fifth
 * one twice, to any process of the application, until `stop` is called; that
 * resolves when all are received.
 *
 * @param {{stripe: object, apps: {url: string}[]}} world
 */
export function deliverEvents({ stripe, apps }) {
	let stopped = false;
	const all = (async () => {
		for (let next = 0; !stopped || next < stripe.made.length;) {
			const thing = stripe.made[next];
			if (!thing) {
				await new Promise((resolve) => { setTimeout(resolve, 20); });
				continue;
			}
			if (await isReceived(thing, next) && (next % 5 !== 0 || await isReceived(thing, next))) {
				next++;
			}
		}
	})();
	return {
		stop() {
			stopped = true;
			return all;
		},
	};

	/** A provider delivers again what isn't answered 200. */
	async function isReceived({ object }, n) {
		const created = Math.floor(Date.now() / 1000);
		return stripe.deliver(apps[n % apps.length], 'stripe', { id: `evt_${n}`, type: 'payment_intent.succeeded', created, data: { object } })
			.then(({ status }) => status === 200, () => false);
	}
}
