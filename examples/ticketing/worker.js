import { connect } from './config.js';
import { handlers } from './handlers.js';

/**
 * Processes what the inbox has, event by event: the event's effects and its
 * completion are one transaction.  An event whose handler fails is handed out
 * again later, and in the end declared dead.
 */
const pool = connect('ticketing_worker', 2);
const stopping = new AbortController();

for (const signal of ['SIGINT', 'SIGTERM']) {
	process.once(signal, () => stopping.abort());
}

while (!stopping.signal.aborted) {
	try {
		if (!await processOne()) {
			await pause();
		}
	} catch (error) {
		console.error(JSON.stringify({ message: 'the database could not be reached', error: error.message }));
		await pause();
	}
}
await pool.end();

/** @returns {Promise<boolean>} whether there was one */
async function processOne() {
	const { rows: [event] } = await pool.query('SELECT * FROM webhook_inbox_fetch()');
	if (!event) {
		return false;
	}
	const client = await pool.connect();
	client.on('error', ignore);
	let failed;
	try {
		await client.query('BEGIN');
		await handlers[event.source]?.(client, event);
		await client.query('SELECT webhook_inbox_complete($1, $2, $3, $4)', named(event));
		await client.query('COMMIT');
	} catch (error) {
		failed = error;
	}
	if (failed) {
		await giveUp(client, event, failed);
	} else {
		release(client);
	}
	return true;
}

async function giveUp(client, event, { message }) {
	try {
		await client.query('ROLLBACK');
		const { rows: [{ state }] } = await client.query('SELECT webhook_inbox_fail($1, $2, $3, $4, $5) AS state', [...named(event), message]);
		console.error(JSON.stringify({ message: 'event failed', source: event.source, event: event.event_id, attempt: event.attempt, state, error: message }));
		release(client);
	} catch (error) {
		release(client, error);
		throw error;
	}
}

function release(client, error) {
	client.off('error', ignore);
	client.release(error);
}

function named({ tenant_id, source, event_id, token }) {
	return [tenant_id, source, event_id, token];
}

function pause() {
	return new Promise((resolve) => {
		const timer = setTimeout(resolve, 100);
		stopping.signal.addEventListener('abort', () => { clearTimeout(timer); resolve(); }, { once: true });
	});
}

function ignore() {}
