import pg from 'pg';

const request = { amount: 100, currency: 'EUR' };
const response = JSON.stringify({ id: 42, status: 'paid' });
const batchSize = 50;
export const drainedPerSecond = 30000;

/** One connection and what is measured on it. */
export async function connect() {
	const client = new pg.Client();
	await client.connect();
	const query = (name, text, values) => client.query({ name, text, values });

	return {
		async order(key) {
			await client.query('BEGIN');
			const { rows: [{ token }] } = await query('claim',
				"SELECT token FROM idempotency_claim('acme', $1, $2)", [key, request]);
			await query('insert', 'INSERT INTO orders (key, amount) VALUES ($1, 100)', [key]);
			await query('complete', "SELECT idempotency_complete('acme', $1, $2, 201, $3)", [key, token, response]);
			await client.query('COMMIT');
		},

		async replay(key) {
			const { rows: [{ outcome }] } = await query('replay',
				"SELECT outcome, response_status, response_body FROM idempotency_claim('acme', $1, $2)", [key, request]);
			if (outcome !== 'replay') throw new Error(`the outcome was ${outcome}`);
		},

		async enqueue(key) {
			await query('record', "SELECT outcome FROM webhook_inbox_record('acme', 'shop', $1, $2)", [key, request]);
		},

		async fill(amount) {
			await client.query('TRUNCATE webhook_inbox');
			await client.query(`
				SELECT count(*) FROM webhook_inbox_record_batch('acme', 'shop', (
					SELECT jsonb_agg(jsonb_build_object('event_id', gen_random_uuid(), 'payload', $2::jsonb))
					FROM generate_series(1, $1)))`, [amount, request]);
		},

		/** Hands events to the handler until there are none. */
		async drain(handle) {
			for (;;) {
				const { rows } = await query('fetch', `SELECT event_id, token, payload FROM webhook_inbox_fetch(${batchSize}, 'shop')`);
				if (!rows.length) return;
				for (const event of rows) await handle(event.payload);
				await query('finish', `
					SELECT count(webhook_inbox_complete('acme', 'shop', event_id, token))
					FROM unnest($1::text[], $2::bigint[]) AS e (event_id, token)`,
				[rows.map((event) => event.event_id), rows.map((event) => event.token)]);
			}
		},

		end: () => client.end(),
	};
}
