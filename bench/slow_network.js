// Listens on a socket and passes everything on to another one, each way after
// a delay in milliseconds: node slow_network.js FROM TO DELAY
// It is made for one client that waits for each answer: meanwhile it does nothing.
import { connect, createServer } from 'node:net';

const [from, to, delay] = process.argv.slice(2);
const never = new Int32Array(new SharedArrayBuffer(4));
const lateness = 0.15;		// of the kernel's timers, in milliseconds; Node's own are coarser

function pause(milliseconds) {
	const end = performance.now() + milliseconds;
	Atomics.wait(never, 0, 0, Math.max(0, milliseconds - lateness));
	while (performance.now() < end);
}

function passOn(source, target) {
	source.on('data', (data) => {
		pause(Number(delay));
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
