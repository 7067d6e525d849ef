import type { FastifyPluginAsync, FastifyRequest } from 'fastify';
import type { Pool, PoolClient } from 'pg';

/** Of a route, in `config.idempotency`, or of all, given to the plugin. Durations are intervals, such as `'10 min'`. */
export interface RouteOptions {
	/** In which keys are told apart; default: method and path of the route. */
	scope?: string;
	/** How long the answer is kept; default: the database's settings. */
	ttl?: string;
	/** Commits the claim before the handler runs and protects it so long: for handlers that call out. */
	lease?: string;
	/** How long a duplicate waits for the first to finish. */
	wait?: string;
	/** What makes a retry the same request; default: parameters, query and body. */
	fingerprint?: (request: FastifyRequest) => unknown;
}

export interface Options extends RouteOptions {
	pool: Pool;
	/** From the authenticated request, never from the key. */
	tenant: (request: FastifyRequest) => string | Promise<string>;
	/** The same; default: users of a tenant share its keys. */
	user?: (request: FastifyRequest) => string | undefined | Promise<string | undefined>;
	/** Where the extension is; default: public. */
	schema?: string;
	/** Those of an answer that are stored; default: what describes the body, and `location`. */
	headers?: string[];
}

type Client = Pick<PoolClient, 'query'>;

/** A claimed request while its handler works on it. */
export interface Work {
	/** What was claimed, for those who note what has caused their changes. */
	readonly claim: Readonly<{ tenant: string, key: string, scope: string, lease?: string }>;
	/** The transaction's client; with a lease, only after `begin`. */
	readonly client: Client | undefined;
	readonly token: string;
	readonly attempt: number;
	readonly recoveryPoint: string | null;
	readonly recoveryData: unknown;
	begin(): Promise<Client>;
	checkpoint(point: string, data?: unknown): Promise<void>;
	heartbeat(): Promise<void>;
}

declare module 'fastify' {
	interface FastifyRequest {
		/** null where a request is not protected */
		idempotency: Work | null;
	}
	interface FastifyContextConfig {
		idempotency?: RouteOptions | false;
	}
}

declare const idempotency: FastifyPluginAsync<Options>;
export default idempotency;
