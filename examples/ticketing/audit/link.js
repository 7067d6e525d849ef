import { once } from 'node:events';
import { connect, createServer } from 'node:net';

/**
 * A way to the database of its own, which can be cut.
 *
 * @returns {Promise<{environment: Record<string, string>, cut: () => void, mend: () => void, close: () => void}>}
 */
export async function startLink({ PGHOST, PGPORT = '5432' } = process.env) {
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
