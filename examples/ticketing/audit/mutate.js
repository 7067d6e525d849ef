import { spawn } from 'node:child_process';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { MUTATIONS } from './mutations.js';

/**
 * Breaks the plugin, the application or the schema, one way at a time, in a
 * copy, and runs the checks that must notice: each that a mutation names has to
 * fail.  Arguments choose mutations by a part of their name.
 */
const examples = new URL('../..', import.meta.url).pathname;
const copy = await mkdtemp(join(tmpdir(), 'mutations-'));
const chosen = MUTATIONS.filter(({ name }) => process.argv.length === 2 || process.argv.slice(2).some((part) => name.includes(part)));
let escaped = 0;

try {
	await cp(examples, copy, { recursive: true, verbatimSymlinks: true });
	for (const [index, mutation] of chosen.entries()) {
		const failed = await withMutation(mutation, () => audit(mutation.red));
		const green = mutation.red.filter((check) => !failed.includes(check));
		escaped += green.length > 0;
		console.log(`${green.length ? 'not ok' : 'ok'} ${index + 1} - ${mutation.name}: ${failed.join(', ')}`);
		if (green.length) {
			console.log(`#   stayed green: ${green.join(', ')}`);
		}
	}
	console.log(`1..${chosen.length}`);
} finally {
	await rm(copy, { recursive: true });
}
process.exitCode = escaped || chosen.length === 0 ? 1 : 0;

async function withMutation({ name, file, from, to }, work) {
	const path = join(copy, file);
	const original = await readFile(path, 'utf8');
	if (original.split(from).length !== 2) {
		throw new Error(`${name}: ${file} does not have its text once`);
	}
	await writeFile(path, original.replace(from, () => to));
	try {
		return await work();
	} finally {
		await writeFile(path, original);
	}
}

/**
 * Runs some checks, such as "orders IK1".
 *
 * @returns {Promise<string[]>} those that failed
 */
async function audit(checks) {
	const files = new Set(checks.map((check) => `audit/${check.split(' ')[0]}.test.js`));
	const child = spawn(process.execPath,
		['--test', '--test-timeout=120000', '--test-reporter=tap', `--test-name-pattern=^(${checks.join('|')}):`, ...files],
		{ cwd: join(copy, 'ticketing'), stdio: ['ignore', 'pipe', 'inherit'] });
	const failed = [];
	for await (const line of createInterface(child.stdout)) {
		const check = line.match(/^not ok \d+ - (\w+ \w+):/)?.[1];
		if (check) {
			failed.push(check);
		}
	}
	return failed;
}
