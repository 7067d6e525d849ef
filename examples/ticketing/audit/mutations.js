/**
 * What must not go unnoticed: each is a way in which the services of the audits
 * were, or could be, wrong.
 *
 * @type {{name: string, file: string, from: string, to: string, red: string[]}[]}
 */
export const MUTATIONS = [
	{
		name: 'keys are not scoped to the user',
		file: 'fastify-idempotency/index.js',
		from: '? `${scope} by ${user}` : scope;',
		to: '? scope : scope;',
		red: ['orders IK5', 'payments PM3'],
	},
	{
		name: 'keys are not scoped to the tenant',
		file: 'ticketing/app.js',
		from: 'tenant: (request) => request.user.tenant,',
		to: "tenant: () => 'everybody',",
		red: ['tickets TU5', 'tickets TS5', 'venues VO7'],
	},
	{
		name: 'a retry need not be the same request',
		file: 'fastify-idempotency/index.js',
		from: 'request: JSON.stringify(await fingerprint(request)), ttl',
		to: 'request: null, ttl',
		red: ['tickets TU7', 'venues VO9'],
	},
	{
		name: 'a duplicate waits instead of being told',
		file: 'ticketing/app.js',
		from: 'user: (request) => request.user.sub,',
		to: "user: (request) => request.user.sub, wait: '20s',",
		red: ['orders RC2', 'orders ER3', 'tickets TU6'],
	},
	{
		name: 'a replay does not say so',
		file: 'fastify-idempotency/index.js',
		from: ".header('idempotent-replayed', 'true')",
		to: '',
		red: ['venues SC5', 'blockchain BS4'],
	},
	{
		name: 'what failed is not undone',
		file: 'fastify-idempotency/work.js',
		from: "response.status >= 400 ? 'ROLLBACK TO'",
		to: "false ? 'ROLLBACK TO'",
		red: ['orders RC4', 'orders RC5'],
	},
	{
		name: 'server errors are stored',
		file: 'ticketing/schema/roles.sql',
		from: "'idempotency.key_format = uuid',",
		to: "'idempotency.key_format = uuid', 'idempotency.retryable_statuses = 408',",
		red: ['tickets TP4', 'tickets TS6', 'tickets TS7'],
	},
	{
		name: 'keys may have any form',
		file: 'ticketing/schema/roles.sql',
		from: 'idempotency.key_format = uuid',
		to: "idempotency.key_format = ''any''",
		red: ['orders IK2', 'payments PM2'],
	},
	{
		name: 'answers are kept for another time than is said',
		file: 'ticketing/schema/roles.sql',
		from: "success_ttl = ''24h''",
		to: "success_ttl = ''25h''",
		red: ['orders RC3', 'orders TT2'],
	},
	{
		name: 'what is taken need not be there',
		file: 'ticketing/inventory.js',
		from: 'AND id = $2 AND available >= $3',
		to: 'AND id = $2',
		red: ['tickets TU4', 'tickets TR2'],
	},
	{
		name: 'webhooks are not verified',
		file: 'ticketing/webhooks.js',
		from: 'stripe.webhooks.signature.verifyHeader(',
		to: '(() => {})(',
		red: ['payments PW1', 'venues VW1'],
	},
	{
		name: 'webhooks count as processed when they come',
		file: 'ticketing/webhooks.js',
		from: 'sequence => $7)',
		to: 'sequence => $7, processed => true)',
		red: ['tickets TW3', 'tickets TS10'],
	},
	{
		name: 'the provider is called without a key',
		file: 'ticketing/services/payments.js',
		from: '{ idempotencyKey }),',
		to: '{}),',
		red: ['payments PS1', 'payments PS4', 'payments PS9'],
	},
	{
		name: 'the key of a call is not stored before it',
		file: 'ticketing/services/venues.js',
		from: "await idempotency.checkpoint('creating', { key });",
		to: "Object.assign(idempotency, { recoveryPoint: 'creating', recoveryData: { key } });",
		red: ['venues VP2', 'venues VO5', 'venues VO6'],
	},
	{
		name: 'whoever resumes begins anew',
		file: 'ticketing/steps.js',
		from: 'points.slice(points.indexOf(recoveryPoint) + 1)',
		to: 'points',
		red: ['blockchain BP6'],
	},
	{
		name: 'each request mints a token of its own',
		file: 'ticketing/mints.js',
		from: "AND ticket = $2 AND state <> 'failed'`, [tenant, ticket]",
		to: 'AND ticket = $2 AND false`, [tenant, ticket]',
		red: ['blockchain BM7', 'blockchain BM8'],
	},
	{
		name: 'a timeout is taken for a failure',
		file: 'ticketing/chain.js',
		from: 'throw new Pending(`the transaction ${hash} is not mined yet, try again with the same key`)',
		to: "return 'failed'",
		red: ['blockchain BM5'],
	},
	{
		name: 'nothing is swept',
		file: 'ticketing/schema/install.js',
		from: 'SELECT idempotency_sweep(max_rows => 20000)',
		to: 'SELECT 1',
		red: ['tickets TS9'],
	},
];
