// Listens on a socket and passes everything on to another one, each way after
// a delay in milliseconds: node slow_network.js FROM TO DELAY
// It is made for one client that waits for each answer: meanwhile it sleeps.
import { connect, createServer } from 'node:net';

const [from, to, delay] = process.argv.slice(2);
const clock = new Int32Array(new SharedArrayBuffer(4));

function passOn(source, target) {
	source.on('data', (data) => {
		Atomics.wait(clock, 0, 0, Number(delay));		// a timer's least is 1 ms
		target.write(data);
	});
	source.on('close', () => target.end());
	source.on('error', () => target.destroy());
}

createServer((client) => {
	const server = connect(to);
	passOn(client, server);
	passOn(server, client);
}).listen(from);
