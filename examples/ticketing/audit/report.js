import { BEFORE, CHECKS } from './checks.js';

/** What node:test says of the whole run. */
const SUMMARY = /^(tests|suites|pass|fail|cancelled|skipped|todo|duration_ms) [\d.]+$/;

/**
 * Reports each check as it is done, in TAP's words, then a table for each
 * service of what the audit found and what is found now, then the scores.
 *
 * @param {AsyncIterable<{type: string, data: any}>} events  of node:test
 */
export default async function* report(events) {
	const passed = new Map();
	let count = 0;
	for await (const { type, data } of events) {
		if (type === 'test:stdout' || type === 'test:stderr') {
			yield comment(data.message);
		}
		if (type === 'test:diagnostic' && !SUMMARY.test(data.message)) {
			yield comment(`${data.message}\n`);
		}
		if (type === 'test:pass' || type === 'test:fail') {
			const ok = type === 'test:pass' && data.skip === undefined && data.todo === undefined;
			passed.set(data.name.split(':')[0], ok);
			yield `${ok ? 'ok' : 'not ok'} ${++count} - ${data.name}\n`;
			yield ok ? '' : explanation(data.details.error);
		}
	}
	const services = Object.keys(BEFORE).filter((service) => [...passed.keys()].some((name) => name.startsWith(`${service} `)));
	const now = (check) => passed.get(`${check.service} ${check.id}`);
	for (const service of services) {
		yield* table(service, now);
	}
	if (services.length) {
		yield* scores(services, now);
	}
	yield `1..${count}\n`;
}

function comment(lines) {
	return lines.replace(/^(?=.)/gm, '# ');
}

function explanation(error) {
	const text = error?.cause?.stack ?? error?.stack ?? String(error);
	return comment(`${text}\n`);
}

/** A letter for each check: P passed, p in part, F failed, ? wasn't said. */
function* table(service, now) {
	const checks = CHECKS.filter((check) => check.service === service);
	yield `\n${service.padEnd(34)}before           now\n`;
	for (const [group, members] of groups(checks)) {
		const ids = `${members[0].id} - ${members.at(-1).id}`;
		const before = members.map((check) => check.before).join('');
		yield `  ${group.padEnd(16)}${ids.padEnd(16)}${before.padEnd(17)}${members.map((check) => (now(check) ? 'P' : 'F')).join('')}\n`;
	}
}

function groups(checks) {
	const groups = new Map();
	for (const check of checks) {
		groups.set(check.group, [...(groups.get(check.group) ?? []), check]);
	}
	return groups;
}

function* scores(services, now) {
	yield '\nservice       before     now   checks\n';
	for (const service of services) {
		const checks = CHECKS.filter((check) => check.service === service);
		const passed = checks.filter(now).length;
		const percent = Math.floor(100 * passed / checks.length);
		yield `${service.padEnd(14)}${`${BEFORE[service]} %`.padStart(6)}${`${percent} %`.padStart(8)}   ${passed} of ${checks.length}\n`;
	}
	yield '\n';
}
