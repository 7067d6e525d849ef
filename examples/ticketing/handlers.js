import { paymentEvent } from './services/payments.js';
import { accountEvent } from './services/venues.js';

/**
 * What an event of each source does, in the transaction that completes it.
 *
 * @type {Record<string, (client: import('pg').ClientBase, event: {tenant_id: string, event_id: string, event_type: string, payload: object, sequence: string}) => Promise<void>>}
 */
export const handlers = {
	stripe: paymentEvent,
	connect: accountEvent,
};
