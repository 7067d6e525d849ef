import { execFile } from 'node:child_process';
import { readFile, stat } from 'node:fs/promises';
import { promisify } from 'node:util';
import { until } from '../audit/until.js';

const run = promisify(execFile);

/**
 * Kills the server whose data are in PGDATA as a power cut would, and starts
 * it again: as soon as the last of its processes has gone, it can.
 */
export async function crashDatabase() {
	const { PGDATA } = process.env;
	const [pid] = (await readFile(`${PGDATA}/postmaster.pid`, 'utf8')).split('\n');
	process.kill(Number(pid), 'SIGKILL');
	const { uid, gid } = await stat(PGDATA);
	await until('the database is up again', () => run('pg_ctl', ['start', '-w', '-s', '-D', PGDATA, '-l', `${PGDATA}/restarted.log`], { uid, gid, cwd: '/' })
		.then(() => true, () => false));
}
