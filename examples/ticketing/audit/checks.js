import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import assert from 'node:assert/strict';

/** What each service scored in the audits, in percent. */
export const BEFORE = { orders: 98, tickets: 60, payments: 92, venues: 35, blockchain: 15 };

/**
 * Every check of the audits: P passed, p passed in part, F failed, ? wasn't said.
 *
 * @type {{service: string, group: string, id: string, before: string, check: string}[]}
 */
export const CHECKS = readFileSync(new URL('checks.tsv', import.meta.url), 'utf8').trim().split('\n').slice(1).map((line) => {
	const [service, group, id, before, check] = line.split('\t');
	return { service, group, id, before, check };
});

/**
 * The checks of one service, as tests: `check('IK1', async () => ...)`.  The
 * last test fails if a check of the list was left out.
 *
 * @param {string} service
 */
export function checksOf(service) {
	const open = new Map(CHECKS.filter((check) => check.service === service).map((check) => [check.id, check.check]));
	return {
		check(id, assertion) {
			const text = open.get(id);
			assert(text, `${service} has no check ${id}, or it was asserted before`);
			open.delete(id);
			test(`${service} ${id}: ${text}`, assertion);
		},
		complete() {
			test(`${service}: every check is asserted`, () => assert.deepEqual([...open.keys()], []));
		},
	};
}
