import Redis from 'ioredis';
import pg from 'pg';

const request = JSON.stringify({ amount: 100, currency: 'EUR' });
const response = JSON.stringify({ id: 42, status: 'paid' });

/**
 * The key in Redis, whose socket is REDIS_SOCKET, and the work in the database:
 * two systems, and nothing that makes them agree after a crash.
 */
export async function connect() {
	const client = new pg.Client();
	await client.connect();
	const redis = new Redis(process.env.REDIS_SOCKET);

	return {
		async order(key) {
			if (await redis.set(`order:${key}`, request, 'EX', 1800, 'NX') !== 'OK') throw new Error('the key is taken');
			await client.query({
				name: 'insert', text: 'INSERT INTO orders (key, amount) VALUES ($1, 100)', values: [key] });
			await redis.set(`order:${key}`, response, 'EX', 86400);
		},

		async replay(key) {
			if (!await redis.get(`known:${key}`)) throw new Error('the key is not known');
		},

		async end() {
			await redis.quit();
			await client.end();
		},
	};
}
