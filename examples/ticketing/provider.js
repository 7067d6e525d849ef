import Stripe from 'stripe';
import { Outage, Pending, Refusal } from './errors.js';

const { StripeAPIError, StripeCardError, StripeConnectionError, StripeInvalidRequestError, StripeRateLimitError } = Stripe.errors;

/** Milliseconds: a day, but for the clocks' differences. */
const MEMORY = 23 * 60 * 60 * 1000;

/**
 * Calls the provider.  What it refuses is refused here, too, for the same
 * reason.  What it could not do, or may have done unheard, is an outage: the
 * same call with the same key finds out.  All else, such as a key that was
 * used for another call, is this program's fault and not its client's.
 *
 * @template T
 * @param {() => Promise<T>} call
 * @param {(refusal: {status: number, code: string, detail: string}) => Promise<unknown>} [refused]  notes a refusal before it is passed on
 * @returns {Promise<T>}
 */
export async function ask(call, refused) {
	try {
		return await call();
	} catch (error) {
		if (error instanceof StripeCardError || error instanceof StripeInvalidRequestError) {
			const refusal = { status: error.statusCode, code: error.code ?? error.rawType, detail: error.message };
			await refused?.(refusal);
			throw refusalOf(refusal);
		}
		if ([StripeConnectionError, StripeAPIError, StripeRateLimitError].some((type) => error instanceof type)) {
			throw new Outage('the provider could not be asked', { cause: error });
		}
		throw new Error('the provider was asked wrongly', { cause: error });
	}
}

/**
 * Lets nobody call again where the provider may have forgotten the key, as it
 * does after a day: the same call with the same key would be done again.
 *
 * @param {Date} since  when it had not been called yet
 */
export function expectRemembered(since) {
	if (Date.now() - since > MEMORY) {
		throw new Pending('it was too long ago to ask the provider again, which has yet to tell what became of it');
	}
}

/** What the provider refused, as it was noted. */
export function refusalOf({ status, code, detail }) {
	return new Refusal(status, code, detail);
}
