/**
 * What must not go unnoticed.
 *
 * @type {{name: string, file: string, from: string, to: string, red: string[]}[]}
 */
export const MUTATIONS = [
	{
		name: 'keys are not scoped to the user',
		file: 'fastify-idempotency/index.js',
		from: 'return user ? `${scope} by ${user}` : scope;',
		to: 'return scope;',
		red: ['orders IK5', 'payments PM3'],
	},
	{
		name: 'keys are not scoped to the tenant',
		file: 'ticketing/app.js',
		from: 'tenant: (request) => request.user.tenant,',
		to: "tenant: () => 'everybody',",
		red: ['tickets TU5', 'tickets TS5', 'venues VO7', 'blockchain BS5'],
	},
	{
		name: 'a retry need not be the same request',
		file: 'fastify-idempotency/index.js',
		from: 'request: fingerprint(request), ttl',
		to: 'request: null, ttl',
		red: ['tickets TU7', 'venues VO9', 'blockchain BP9'],
	},
	{
		name: 'a replay does not say so',
		file: 'fastify-idempotency/index.js',
		from: ".header('idempotent-replayed', 'true')",
		to: '',
		red: ['tickets TS4', 'venues SC5', 'blockchain BS4'],
	},
	{
		name: 'keys may have any form',
		file: 'ticketing/schema/roles.sql',
		from: 'idempotency.key_format = uuid',
		to: 'idempotency.key_format = any',
		red: ['orders IK2', 'tickets TU2', 'payments PM2', 'blockchain BP2'],
	},
	{
		name: 'overselling is not prevented',
		file: 'ticketing/inventory.js',
		from: 'AND id = $2 AND available >= $3',
		to: 'AND id = $2',
		red: ['tickets TU4'],
	},
	{
		name: 'nothing is swept',
		file: 'ticketing/schema/install.js',
		from: 'SELECT idempotency_sweep(max_rows => 20000)',
		to: 'SELECT 1',
		red: ['tickets TS9'],
	},
];
