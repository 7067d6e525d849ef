import { Logger, makeWorkerUtils, runOnce } from 'graphile-worker';
import pg from 'pg';

const request = { amount: 100, currency: 'EUR' };
const logger = new Logger(() => () => {});
export const drainedPerSecond = 4000;

/** A queue whose jobs are unique by key until they are done, when they are deleted. */
export async function connect() {
	const pgPool = new pg.Pool({ max: 1 });
	const utils = await makeWorkerUtils({ pgPool, logger });
	await utils.migrate();

	return {
		async enqueue(key) {
			await utils.addJob('shop', request, { jobKey: key });
		},

		async fill(amount) {
			await pgPool.query('TRUNCATE graphile_worker._private_jobs');
			await pgPool.query("SELECT count(graphile_worker.add_job('shop', $2::json)) FROM generate_series(1, $1)",
				[amount, request]);
		},

		async drain(handle) {
			await runOnce({ pgPool, logger, concurrency: 1, noHandleSignals: true }, { shop: handle });
		},

		async end() {
			await utils.release();
			await pgPool.end();
		},
	};
}
