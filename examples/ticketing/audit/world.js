import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { after } from 'node:test';
import pg from 'pg';
import { install, schedule } from '../schema/install.js';
import { startChain } from './chain.js';
import { startStripe } from './stripe.js';
import { until } from './until.js';

// whoever ends the audit ends with it what it has started
for (const signal of ['SIGINT', 'SIGTERM']) {
	process.once(signal, () => process.exit(1));
}

export const SECRETS = { jwt: 'a secret of the audit', stripe: 'whsec_payments', connect: 'whsec_connect' };

/**
 * All that a service needs, real and of its own: a database on the server that
 * the environment names, two processes of the application, which share nothing
 * else, a worker, and where they are asked for a blockchain; and in Stripe's
 * place a server that keeps its keys as Stripe does.  It ends with the tests.
 *
 * @param {{chain?: boolean}} [options]
 */
export async function startWorld({ chain: withChain = false } = {}) {
	const ends = [];
	after(async () => {
		for (const end of ends.reverse()) {
			await end();
		}
	});

	const database = `ticketing_${process.pid}`;
	/** For what is done from outside of it. */
	const server = new pg.Pool({ database: 'postgres', max: 1 });
	server.on('error', () => {});
	ends.push(() => server.end());
	await server.query(`CREATE DATABASE ${database}`);
	ends.push(() => dropDatabase(server, database));

	const installer = new pg.Client({ database });
	await installer.connect();
	await install(installer);
	await installer.end();
	// for the audit itself it is never later
	const sql = new pg.Pool({ database, max: 5, options: '-c idempotency.clock_offset=0' });
	sql.on('error', () => {});
	ends.push(() => sql.end());
	await schedule(server, database);

	const stripe = await startStripe(SECRETS);
	ends.push(() => stripe.close());
	const chain = withChain ? await startChain() : undefined;
	ends.push(() => chain?.close());

	const environment = {
		...process.env,
		PGDATABASE: database,
		JWT_SECRET: SECRETS.jwt,
		STRIPE_KEY: 'sk_test_audit',
		STRIPE_URL: stripe.url,
		STRIPE_WEBHOOK_SECRET: SECRETS.stripe,
		STRIPE_CONNECT_WEBHOOK_SECRET: SECRETS.connect,
		PORT: '0',
		...chain?.environment,
	};
	const start = async (script, more) => {
		const child = await startProcess(script, { ...environment, ...more });
		ends.push(() => child.stop());
		return child;
	};

	/**
	 * Locks rows that a handler needs, so that its request stays in progress
	 * until the function that is returned is called.
	 *
	 * @param {string} query  such as SELECT ... FOR UPDATE
	 */
	async function lock(query, values) {
		const client = await sql.connect();
		await client.query('BEGIN');
		await client.query(query, values);
		let isHeld = true;
		const release = async () => {
			if (isHeld) {
				isHeld = false;
				await client.query('COMMIT');
				client.release();
			}
		};
		ends.push(release);		// a test that fails leaves nobody waiting
		return release;
	}

	/** How many connections of the application, or of its worker, wait for locks. */
	async function waiting(role = 'ticketing_app') {
		const { rows } = await sql.query(
			`SELECT FROM pg_stat_activity WHERE datname = current_database() AND usename = $1 AND wait_event_type = 'Lock'`, [role]);
		return rows.length;
	}

	/** Waits until it is so many. */
	function blocked(count = 1, role = undefined) {
		return until(`${count} wait for a lock`, async () => await waiting(role) === count);
	}

	return {
		sql, server, database, stripe, chain, lock, waiting, blocked,
		apps: [await start('server.js'), await start('server.js')],
		/** @param {Record<string, string>} [more]  of the environment */
		startApp: (more) => start('server.js', more),
		startWorker: () => start('worker.js'),
	};
}

async function dropDatabase(server, database) {
	await server.query('SELECT cron.unschedule(jobid) FROM cron.job WHERE database = $1', [database]);
	await server.query(`DROP DATABASE ${database} WITH (FORCE)`);
}

/**
 * A process of the application; of the server, once it listens.
 *
 * @param {'server.js' | 'worker.js'} script
 */
async function startProcess(script, env) {
	const child = spawn(process.execPath, [new URL(`../${script}`, import.meta.url).pathname], { env, stdio: ['ignore', 'pipe', 'pipe'] });
	const log = [];
	const exited = once(child, 'exit');
	const kill = () => child.kill('SIGKILL');
	process.on('exit', kill);
	child.on('exit', () => process.off('exit', kill));
	const listening = new Promise((resolve, reject) => {
		for (const stream of [child.stdout, child.stderr]) {
			createInterface(stream).on('line', (line) => {
				log.push(line);
				const url = line.match(/Server listening at (http:[^"]*)/)?.[1];
				if (url) {
					resolve(url);
				}
			});
		}
		child.on('exit', (code) => reject(new Error(`${script} exited with ${code}:\n${log.join('\n')}`)));
	});
	listening.catch(() => {});
	return {
		/** Where it listens. */
		url: script === 'server.js' ? await listening : undefined,
		/** The lines it has logged. */
		log,
		async stop() {
			child.kill('SIGTERM');
			await exited;
		},
		async kill() {
			kill();
			await exited;
		},
	};
}
