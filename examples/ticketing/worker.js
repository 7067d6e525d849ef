import { setTimeout } from 'node:timers/promises';
import { connect, connectChain } from './config.js';
import { handlers } from './handlers.js';
import { checkPendingMint } from './mint-monitor.js';
import { inTransaction } from './transaction.js';

/**
 * Processes what the inbox has, event by event: the event's effects and its
 * completion are one transaction.  An event whose handler fails is handed out
 * again later, and in the end declared dead; once the cause is mended, an
 * operator lets the dead be tried again with webhook_inbox_requeue_dead().
 * Beside that it looks after mints.
 */
const pool = connect('ticketing_worker', 2);
const chain = await connectChain();
const stopping = new AbortController();

for (const signal of ['SIGINT', 'SIGTERM']) {
	process.once(signal, () => stopping.abort());
}

await Promise.all([repeat(processOne), chain && repeat(() => checkPendingMint(pool, chain))]);
await pool.end();

/**
 * Does a duty again and again, and rests while there is nothing to do.
 *
 * @param {() => Promise<boolean>} duty  says whether there was something
 */
async function repeat(duty) {
	while (!stopping.signal.aborted) {
		try {
			if (!await duty()) {
				await pause(100);
			}
		} catch (error) {
			log({ message: 'the worker was interrupted', error: error.message });
			await pause(1000);
		}
	}
}

/** @returns {Promise<boolean>} whether there was one */
async function processOne() {
	const { rows: [event] } = await pool.query('SELECT * FROM webhook_inbox_fetch()');
	if (!event) {
		return false;
	}
	try {
		await inTransaction(pool, async (client) => {
			await handlers[event.source](client, event);
			await client.query('SELECT webhook_inbox_complete($1, $2, $3, $4)', named(event));
		});
	} catch (error) {
		await giveUp(event, error);
	}
	return true;
}

async function giveUp(event, { message }) {
	const { rows: [{ state }] } = await pool.query('SELECT webhook_inbox_fail($1, $2, $3, $4, $5) AS state', [...named(event), message]);
	log({ message: 'event failed', source: event.source, event: event.event_id, attempt: event.attempt, state, error: message });
}

function named({ tenant_id, source, event_id, token }) {
	return [tenant_id, source, event_id, token];
}

function log(line) {
	console.error(JSON.stringify(line));
}

/** Waits, or until it is to stop. */
function pause(milliseconds) {
	return setTimeout(milliseconds, undefined, { signal: stopping.signal }).catch(() => {});
}
