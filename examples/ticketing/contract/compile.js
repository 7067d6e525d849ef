import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import solc from 'solc';

const { resolve } = createRequire(import.meta.url);

/**
 * Compiles a contract of this folder, which may import from npm packages.
 *
 * @param {string} name
 * @returns {{ abi: import('viem').Abi, bytecode: `0x${string}` }}
 */
export function compile(name) {
	const file = `${name}.sol`;
	const input = {
		language: 'Solidity',
		sources: { [file]: { content: readFileSync(new URL(file, import.meta.url), 'utf8') } },
		settings: { evmVersion: 'cancun', optimizer: { enabled: true }, outputSelection: { [file]: { [name]: ['abi', 'evm.bytecode.object'] } } },
	};
	const find = (path) => ({ contents: readFileSync(resolve(path), 'utf8') });
	const { contracts, errors = [] } = JSON.parse(solc.compile(JSON.stringify(input), { import: find }));
	const error = errors.find(({ severity }) => severity === 'error');
	if (error) {
		throw new Error(error.formattedMessage);
	}
	const { abi, evm } = contracts[file][name];
	return { abi, bytecode: `0x${evm.bytecode.object}` };
}
