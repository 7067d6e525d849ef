import { once } from 'node:events';
import { createServer } from 'node:http';
import { text } from 'node:stream/consumers';

/**
 * The network between the application and its node, which loses and delays
 * messages when it is told to, and knows which transactions were sent.
 *
 * @param {string} node  its address
 */
export async function startNetwork(node) {
	/** @type {string[]} the signed transactions that got to the node, in order */
	const sent = [];
	let gate;
	let isCut = false;
	let answersToLose = 0;

	const server = createServer(async (request, response) => {
		const body = await text(request);
		const { method, params } = JSON.parse(body);
		const isTransaction = method === 'eth_sendRawTransaction';
		if (isCut || isTransaction && await gate?.pass() === 'dropped') {
			return request.socket.destroy();
		}
		if (isTransaction) {
			sent.push(params[0]);
		}
		const answer = await fetch(node, { method: 'POST', headers: { 'content-type': 'application/json' }, body });
		const payload = await answer.text();
		if (isTransaction && answersToLose-- > 0) {
			return request.socket.destroy();
		}
		response.writeHead(answer.status, { 'content-type': 'application/json' }).end(payload);
	});
	server.listen(0, '127.0.0.1');
	await once(server, 'listening');

	return {
		url: `http://127.0.0.1:${server.address().port}`,
		sent,

		/** Transactions don't get through from now on, until they are let through or dropped. */
		hold() {
			gate = makeGate();
			return {
				/** The first one is waiting. */
				arrived: gate.arrived,
				release: () => gate.open('released'),
				drop() {
					gate.open('dropped');
					gate = undefined;
				},
			};
		},

		/** The node gets the next transaction, but its answer is lost. */
		loseAnswer() {
			answersToLose = 1;
		},

		cut() {
			isCut = true;
		},
		mend() {
			isCut = false;
		},

		close() {
			server.closeAllConnections();
			server.close();
		},
	};
}

function makeGate() {
	let open;
	let arrive;
	const opened = new Promise((resolve) => { open = resolve; });
	const arrived = new Promise((resolve) => { arrive = resolve; });
	return {
		open, arrived,
		pass() {
			arrive();
			return opened;
		},
	};
}
