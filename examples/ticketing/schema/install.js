import { readFile } from 'node:fs/promises';

/** In the order in which they need each other. */
const FILES = ['shared', 'orders', 'tickets', 'payments', 'venues', 'blockchain', 'roles'];

/**
 * Creates the extension and the application's tables.
 *
 * @param {import('pg').Client} client  of a superuser, in the database for it
 */
export async function install(client) {
	await client.query('CREATE EXTENSION idempotency SCHEMA public');
	await client.query('CREATE SCHEMA ticketing; SET search_path = ticketing, public');
	for (const file of FILES) {
		await client.query(await readFile(new URL(`${file}.sql`, import.meta.url), 'utf8'));
	}
}

/**
 * Has pg_cron sweep what has expired, a little at a time.
 *
 * @param {import('pg').Pool} client  of a superuser, in pg_cron's database
 * @param {string} database  the application's
 */
export async function schedule(client, database) {
	await client.query('CREATE EXTENSION IF NOT EXISTS pg_cron');
	await client.query(`SELECT cron.schedule_in_database($1, '* * * * *', 'SELECT idempotency_sweep(max_rows => 20000)', $2)`,
		[`sweep ${database}`, database]);
}
