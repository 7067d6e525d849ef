/**
 * The extension's functions as this plugin calls them; each takes what has a
 * method query: the pool, or a client in a transaction.
 *
 * @param {string} schema  where the extension is
 */
export function protocol(schema) {
	const prefix = `"${schema.replaceAll('"', '""')}".idempotency_`;
	const key = ({ tenant, key, token, scope }) => [tenant, key, token, scope];

	return {
		async claim(db, { tenant, key, request, scope, lease, ttl, wait }) {
			const { rows } = await db.query(
				`SELECT * FROM ${prefix}claim($1, $2, $3::jsonb, scope => $4, lease => $5::interval, ttl => $6::interval, wait => $7::interval)`,
				[tenant, key, request, scope, lease, ttl, wait]);
			return rows[0];
		},
		async checkpoint(db, claim, point, data) {
			await db.query(
				`SELECT ${prefix}checkpoint($1, $2, $3, $5, $6::jsonb, scope => $4, lease => $7::interval)`,
				[...key(claim), point, data === undefined ? null : JSON.stringify(data), claim.lease]);
		},
		async heartbeat(db, claim) {
			await db.query(`SELECT ${prefix}heartbeat($1, $2, $3, scope => $4, lease => $5::interval)`, [...key(claim), claim.lease]);
		},
		/** @param {{status: number, headers: object, body: string | Buffer | null}} response */
		async complete(db, claim, { status, headers, body }) {
			// text can't hold a NUL
			const bytes = typeof body === 'string' && body.includes('\0') ? Buffer.from(body) : body;
			await db.query(
				`SELECT ${prefix}complete($1, $2, $3, $5, $6::${Buffer.isBuffer(bytes) ? 'bytea' : 'text'}, $7::jsonb, scope => $4, ttl => $8::interval)`,
				[...key(claim), status, bytes, JSON.stringify(headers), claim.ttl]);
		},
		async release(db, claim) {
			await db.query(`SELECT ${prefix}release($1, $2, $3, scope => $4)`, key(claim));
		},
		/** How long answers are kept and work is protected, for people. The first function loads the library that knows. */
		async retention(db) {
			const { rows } = await db.query(`SELECT ${prefix}request_hash('null') IS NULL AS loaded,
				current_setting('idempotency.lease') AS processing,
				current_setting('idempotency.success_ttl') AS success,
				current_setting('idempotency.client_error_ttl') AS client_error`);
			const { processing, success, client_error } = rows[0];
			return { processing, success, client_error };
		},
	};
}
