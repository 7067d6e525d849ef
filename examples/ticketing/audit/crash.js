import { until } from './until.js';

/**
 * Crashes the database server, of which all processes end at once, and waits
 * until it has recovered: what was in its memory only, or in tables that are
 * not logged, is lost.
 *
 * @param {Awaited<ReturnType<import('./world.js').startWorld>>} world
 */
export async function crashDatabase({ sql, apps }) {
	const before = await checkpointer(sql);
	// the shell's parent is the server's process of this connection
	await sql.query(`COPY (SELECT 1) TO PROGRAM 'kill -KILL $PPID'`).catch(() => {});
	await until('the database has recovered', async () => {
		const now = await checkpointer(sql).catch(() => undefined);
		return now && now !== before;
	});
	// who answers now has noticed that its connections are gone
	await Promise.all(apps.map(({ url }) => fetch(url)));
}

async function checkpointer(sql) {
	const { rows } = await sql.query(`SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'`);
	return rows[0]?.pid;
}
