import { once } from 'node:events';
import { connect, createServer } from 'node:net';

/**
 * Runs work with a process of the application that has a way to the database of
 * its own, which can be cut and mended.
 *
 * @param {Awaited<ReturnType<import('./world.js').startWorld>>} world
 * @param {(app: {url: string}, link: {cut: () => void, mend: () => void}) => Promise<unknown>} work
 */
export async function withLink(world, work) {
	const link = await startLink(process.env);
	try {
		const app = await world.startApp(link.environment);
		await work(app, link);
		await app.kill();
	} finally {
		link.close();
	}
}

async function startLink({ PGHOST, PGPORT = '5432' }) {
	const target = PGHOST.startsWith('/') ? { path: `${PGHOST}/.s.PGSQL.${PGPORT}` } : { host: PGHOST, port: Number(PGPORT) };
	const sockets = new Set();
	let whole = true;

	const server = createServer((near) => {
		if (!whole) {
			near.destroy();
			return;
		}
		const far = connect(target);
		near.pipe(far).pipe(near);
		for (const [one, other] of [[near, far], [far, near]]) {
			sockets.add(one);
			one.on('error', () => {});
			one.on('close', () => {
				sockets.delete(one);
				other.destroy();
			});
		}
	});
	server.listen(0, '127.0.0.1');
	await once(server, 'listening');

	function cut() {
		whole = false;
		for (const socket of sockets) {
			socket.destroy();
		}
	}

	return {
		environment: { PGHOST: '127.0.0.1', PGPORT: String(server.address().port) },
		cut,
		mend() {
			whole = true;
		},
		close() {
			cut();
			server.close();
		},
	};
}
