import { Problem } from './problem.js';

const SAVEPOINT = 'SAVEPOINT idempotency_work';

/**
 * A claimed request while its handler works on it: `request.idempotency`.
 *
 * Without a lease, one transaction holds the claim, what the handler writes
 * through `client`, and the stored answer.  With a lease the claim is committed
 * already: the handler calls out, checkpoints on its way, and opens with
 * `begin` the transaction that its answer commits with.
 */
export class Work {
	#functions;
	#pool;
	#connection;
	#begun;
	#finished = false;
	#failure;

	/** @type {undefined | 'under way' | 'given'}  whether the reply to this request is being stored, or was */
	answer;

	/**
	 * @param {ReturnType<import('./protocol.js').protocol>} functions
	 * @param {import('pg').Pool} pool
	 * @param {{tenant: string, key: string, scope: string, request?: string, lease?: string, ttl?: string, wait?: string}} claim
	 */
	constructor(functions, pool, claim) {
		this.#functions = functions;
		this.#pool = pool;
		this.claim = claim;
	}

	/** Claims the key. The work is the caller's if the outcome is claimed or resumed, and over otherwise. */
	async start() {
		try {
			const connection = this.claim.lease ? undefined : await this.#open('BEGIN');
			const answer = await this.#functions.claim(connection ?? this.#pool, this.claim);
			if (answer.token === null) {
				await this.abandon();
				return answer;
			}
			this.claim.token = this.token = answer.token;
			this.attempt = answer.attempt;
			this.recoveryPoint = answer.recovery_point;
			this.recoveryData = answer.recovery_data;
			await connection?.query(SAVEPOINT);
			return answer;
		} catch (error) {
			await this.abandon();
			throw Problem.of(error);
		}
	}

	/** The transaction's client, of which the handler gets `query` only: its end is not the handler's. */
	get client() {
		return this.#connection && { query: (...query) => this.#running(this.#connection).query(...query) };
	}

	/** Opens the transaction that the answer will commit with, if it isn't open yet. */
	async begin() {
		this.#running(true);
		if (!this.#connection) {
			await (this.#begun ??= this.#open(`BEGIN; ${SAVEPOINT}`));
		}
		return this.client;
	}

	/** Notes for whoever resumes how far the work has come, and takes the lease anew. */
	async checkpoint(point, data) {
		await this.#functions.checkpoint(this.#running(this.#connection ?? this.#pool), this.claim, point, data);
		this.recoveryPoint = point;
		this.recoveryData = data;
	}

	async heartbeat() {
		await this.#functions.heartbeat(this.#running(this.#connection ?? this.#pool), this.claim);
	}

	/** Stores the answer with the work. Of a request that failed the work is undone, the answer isn't. */
	async finish(response) {
		try {
			const connection = this.#running(this.#connection);
			this.#finished = true;
			// either fails if the handler has ended the transaction
			await connection?.query(`${response.status >= 400 ? 'ROLLBACK TO' : 'RELEASE'} ${SAVEPOINT}`);
			await this.#functions.complete(connection ?? this.#pool, this.claim, response);
			await connection?.query('COMMIT');
			this.#close();
		} catch (error) {
			await this.abandon();
			throw Problem.of(error);
		}
	}

	/** Gives the key back as if nothing had been done. What can't be said to the database any more it finds out itself. */
	async abandon() {
		this.#finished = true;
		const failed = await this.#connection?.query('ROLLBACK').then(() => undefined, (error) => error);
		this.#close(failed);
		if (this.claim.lease && this.token) {
			await this.#functions.release(this.#pool, this.claim).catch(() => {});
		}
	}

	get finished() {
		return this.#finished;
	}

	async #open(begin) {
		const connection = await this.#pool.connect();
		if (this.#finished) {
			connection.release();
			this.#running(true);
		}
		connection.on('error', this.#lose);
		this.#connection = connection;
		await connection.query(begin);
		return connection;
	}

	/** Whatever becomes of the handler, a connection that has broken goes back at once. */
	#lose = (error) => {
		this.#failure = error;
		this.#close(error);
	};

	#close(failed) {
		this.#connection?.off('error', this.#lose);
		this.#connection?.release(failed);
		this.#connection = undefined;
	}

	/** A handler that was given up, as by a timeout, must not write outside the transaction it was given. */
	#running(value) {
		if (this.#failure) {
			throw Problem.of(this.#failure);
		}
		if (this.#finished) {
			throw new Problem('claim_lost', 'the request has been answered already');
		}
		return value;
	}
}
