import { between } from './between.js';

/**
 * Runs work with a setting of the database, which counts for connections that
 * are made meanwhile.
 *
 * @param {string} setting
 * @param {string} value
 * @template T
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
export async function withSetting({ server, database }, setting, value, work) {
	const { rows: [before] } = await server.query(
		`SELECT split_part(s, '=', 2) AS value FROM pg_db_role_setting, unnest(setconfig) s
		WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = $1) AND setrole = 0 AND split_part(s, '=', 1) = $2`,
		[database, setting]);
	return between(
		() => server.query(`ALTER DATABASE ${database} SET ${setting} = '${value}'`),
		() => server.query(`ALTER DATABASE ${database} ${before ? `SET ${setting} = '${before.value}'` : `RESET ${setting}`}`),
		work);
}

/** Runs work with a process of the application of its own. */
export async function withApp(world, work) {
	const app = await world.startApp();
	try {
		return await work(app);
	} finally {
		await app.kill();
	}
}

/**
 * Runs work with a process of the application for which it is later.
 *
 * @param {string} offset  such as 59min
 * @template T
 * @param {(app: {url: string}) => Promise<T>} work
 * @returns {Promise<T>}
 */
export function later(world, offset, work) {
	return withSetting(world, 'idempotency.clock_offset', offset, () => withApp(world, work));
}
