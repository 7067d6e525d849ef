import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';

const { resolve } = createRequire(createRequire(import.meta.url).resolve('@foundry-rs/anvil/bin.mjs'));
const ARCHITECTURES = { x64: 'amd64', arm64: 'arm64' };

/** The program itself, as its wrapper would leave it running when killed. */
function program() {
	return resolve(`@foundry-rs/anvil-${process.platform}-${ARCHITECTURES[process.arch]}/bin/anvil`);
}

/**
 * Starts an Ethereum node on a free port of the loopback.
 *
 * @param {...string} options  see `anvil --help`
 * @returns {Promise<{ url: string, stop: () => Promise<void> }>}
 */
export async function startAnvil(...options) {
	const node = spawn(program(), ['--port', '0', ...options], { stdio: ['ignore', 'pipe', 'inherit'] });
	const kill = () => node.kill('SIGKILL');
	process.once('exit', kill);
	const stop = async () => {
		process.off('exit', kill);
		if (kill()) {
			await once(node, 'exit');
		}
	};
	for await (const line of createInterface(node.stdout)) {
		const address = line.match(/^Listening on (.+)$/)?.[1];
		if (address) {
			node.stdout.resume();
			return { url: `http://${address}`, stop };
		}
	}
	throw new Error('anvil has ended before it listened');
}
