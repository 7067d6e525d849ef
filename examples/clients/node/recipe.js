// Requests that may be retried, with node-postgres.  Copy what you need.
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * @typedef {{ tenant: string, scope: string, key: string, body: unknown, wait?: string, lease?: string }} Request
 * @typedef {{ status: number, headers: Record<string, string>, body: string | Buffer | null }} Response
 * @typedef {Response & { outcome: string }} Answer
 */

/**
 * Claim, work and response in one transaction: all of it is committed, or nothing.
 * @param {import('pg').Pool} pool
 * @param {Request} request
 * @param {(client: import('pg').PoolClient) => Promise<Response>} work writes with this client only
 * @returns {Promise<Answer>}
 */
export async function inOneTransaction(pool, request, work) {
	return withRetries(() => withClient(pool, (client) => transaction(client, async () => {
		const claimed = await claim(client, request);
		if (!isOurs(claimed)) {
			return answer(claimed);
		}
		const response = await work(client);
		await complete(client, request, claimed.token, response);
		return { outcome: claimed.outcome, ...response };
	})));
}

/**
 * Around a call to the outside: the claim is committed first, then the call is
 * made under a key of its own, then effect and response are committed.
 * @template T
 * @param {import('pg').Pool} pool
 * @param {Request} request
 * @param {(callKey: string) => Promise<T>} call does the same once, for the same callKey
 * @param {(client: import('pg').PoolClient, result: T) => Promise<Response>} work
 * @returns {Promise<Answer>}
 */
export async function aroundCall(pool, request, call, work) {
	return withRetries(async () => {
		const claimed = await withRetries(() => withClient(pool, (client) => claim(client, request)));
		if (!isOurs(claimed)) {
			return answer(claimed);
		}
		// who resumes calls with the same key as the one who may have called before
		const { callKey } = claimed.recovery_data ?? { callKey: randomUUID() };
		await withRetries(() => withClient(pool, (client) =>
			checkpoint(client, request, claimed.token, 'calling', { callKey })));

		const result = await call(callKey);

		return withRetries(() => withClient(pool, (client) => transaction(client, async () => {
			await heartbeat(client, request, claimed.token);		// see README: a lost answer to COMMIT
			const response = await work(client, result);
			await complete(client, request, claimed.token, response);
			return { outcome: claimed.outcome, ...response };
		})));
	}, isOvertaken);
}

async function claim(client, { tenant, scope, key, body, wait, lease }) {
	const { rows } = await client.query(
		'SELECT * FROM idempotency_claim($1, $2, $3, scope => $4, wait => $5, lease => $6)',
		// an array would be sent as a PostgreSQL array, so make JSON of the body here
		[tenant, key, JSON.stringify(body), scope, wait, lease]);
	return rows[0];
}

async function checkpoint(client, { tenant, scope, key, lease }, token, point, data) {
	await client.query(
		'SELECT idempotency_checkpoint($1, $2, $3, $4, $5, scope => $6, lease => $7)',
		[tenant, key, token, point, data, scope, lease]);
}

async function heartbeat(client, { tenant, scope, key, lease }, token) {
	await client.query(
		'SELECT idempotency_heartbeat($1, $2, $3, scope => $4, lease => $5)',
		[tenant, key, token, scope, lease]);
}

async function complete(client, { tenant, scope, key }, token, { status, headers, body }) {
	// a Buffer has no type of its own for the server, and an untyped parameter means text
	const type = Buffer.isBuffer(body) ? 'bytea' : 'text';
	await client.query(
		`SELECT idempotency_complete($1, $2, $3, $4, $5::${type}, $6, scope => $7)`,
		[tenant, key, token, status, body, headers, scope]);
}

function isOurs({ outcome }) {
	return outcome === 'claimed' || outcome === 'resumed';
}

/** What to send where the work isn't ours. */
function answer(claimed) {
	const { outcome, response_status: status, retry_after: retryAfter } = claimed;
	const headers = { ...claimed.response_headers };
	if (outcome === 'replay') {
		headers['Idempotent-Replayed'] = 'true';
	}
	if (retryAfter !== null) {
		headers['Retry-After'] = String(retryAfter);
	}
	return { outcome, status, headers, body: claimed.response_bytes ?? claimed.response_body };
}

async function withClient(pool, use) {
	const client = await pool.connect();
	let failure;
	client.on('error', ignore);		// the query that it breaks rejects, too
	try {
		return await use(client);
	} catch (error) {
		failure = error;
		throw error;
	} finally {
		client.off('error', ignore);
		client.release(isConnectionLoss(failure));		// true: don't use it again
	}
}

function ignore() {}

async function transaction(client, use) {
	await client.query('BEGIN');
	try {
		const result = await use();
		await client.query('COMMIT');
		return result;
	} catch (error) {
		await client.query('ROLLBACK').catch(ignore);		// the connection may be gone
		throw error;
	}
}

/** Tries again with the same key, which is what makes that safe: also when the answer to COMMIT got lost. */
async function withRetries(attempt, isRetryable = isTransient) {
	for (let tries = 1; ; tries++) {
		try {
			return await attempt();
		} catch (error) {
			if (tries === 5 || !isRetryable(error)) {
				throw error;
			}
			await sleep(tries * 100 * Math.random());
		}
	}
}

function isTransient(error) {
	return isConnectionLoss(error) || ['40001', '40P01'].includes(error.code);
}

/** The claim went to somebody else, or was completed. */
function isOvertaken(error) {
	return error.code === 'IK004';
}

/** By class 08, 57P01 to 57P03, or the operating system's code; node-postgres has none for a connection that ends. */
function isConnectionLoss(error) {
	return /^(08...|57P0[1-3]|E[A-Z]+)$/.test(error?.code ?? '') || /^Connection terminated/.test(error?.message ?? '');
}

/** The HTTP status that an error stands for. */
export function statusOf(error) {
	const statuses = { IK001: 400, IK002: 400, IK003: 400, '22023': 400, '42501': 403, IK005: 404, IK004: 409, '25006': 503 };
	return isTransient(error) ? 503 : statuses[error.code] ?? 500;
}
