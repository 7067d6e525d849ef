import { connect, createServer } from 'node:net';

/** A way to the server that can break at a chosen statement: it reaches the server, its answer is lost. */
export async function proxy() {
	let last;
	const sockets = new Set();
	const server = createServer((client) => {
		const backend = connect(serverAddress());
		for (const [socket, other] of [[client, backend], [backend, client]]) {
			sockets.add(socket);
			socket.on('error', () => {});
			socket.on('close', () => {
				sockets.delete(socket);
				other.destroy();
			});
		}
		let lost = false;
		client.on('data', (data) => {
			lost ||= last !== undefined && data.includes(`${last}\0`);
			backend.write(data);
		});
		// the server has done it by the time it answers
		backend.on('data', (data) => {
			if (lost) {
				last = undefined;
				client.destroy();
			} else {
				client.write(data);
			}
		});
	});
	await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
	return {
		port: server.address().port,
		loseAnswerTo(statement) {
			last = statement;
		},
		async close() {
			for (const socket of sockets) {
				socket.destroy();
			}
			await new Promise((resolve) => server.close(resolve));
		},
	};
}

/** As PGHOST and PGPORT say: a name, or the folder of a Unix socket. */
function serverAddress() {
	const { PGHOST: host = '127.0.0.1', PGPORT: port = '5432' } = process.env;
	return host.startsWith('/') ? { path: `${host}/.s.PGSQL.${port}` } : { host, port: Number(port) };
}
