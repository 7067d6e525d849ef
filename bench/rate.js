// Prints how often in a second a peer does something, after as long a time that
// doesn't count:
//   node rate.js PEER order|replay|enqueue|drain CLIENTS SECONDS
// To drain, it works off as many events as were made first, about as many as the
// peer can in that time.
import { randomUUID } from 'node:crypto';
import pg from 'pg';

const [peerName, operation, clients, seconds] = process.argv.slice(2);
const { connect, drainedPerSecond } = await import(`./peers/${peerName}.js`);
const knownKeys = 100000;
const due = Math.ceil(drainedPerSecond * seconds);

const newKey = { replay: () => String(1 + Math.floor(Math.random() * knownKeys)) }[operation] ?? randomUUID;

async function repeat(peers) {
	let times = 0;
	const end = performance.now() + seconds * 1000;
	await Promise.all(peers.map(async (peer) => {
		while (performance.now() < end) {
			await peer[operation](newKey());
			times++;
		}
	}));
	return times;
}

async function drain(peers) {
	let times = 0;
	await Promise.all(peers.map((peer) => peer.drain(async () => { times++; })));
	if (times !== due) throw new Error(`of ${due} events, ${times} were handed out`);
	return times;
}

/** Lets the planner know what there is, and nothing dead stand in the way. */
async function vacuum() {
	const client = new pg.Client();
	await client.connect();
	await client.query('VACUUM ANALYZE');
	await client.end();
}

const peers = [];
for (let i = 0; i < clients; i++) peers.push(await connect());
if (operation === 'drain') {
	await peers[0].fill(due);
	await vacuum();
}
if (operation !== 'drain') await repeat(peers);
const start = performance.now();
const times = await (operation === 'drain' ? drain : repeat)(peers);
console.log(times / (performance.now() - start) * 1000);
for (const peer of peers) await peer.end();
