import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { checksOf } from './checks.js';
import { clientOf } from './client.js';
import { startWorld } from './world.js';

const { check, complete } = checksOf('orders');
const world = await startWorld();
const ann = clientOf(world.apps[0]);
const { rows: [{ id: type }] } = await world.sql.query(
	`INSERT INTO ticket_types (tenant, name, price, capacity, available) VALUES ('acme', 'stalls', 5000, 100, 100) RETURNING id`);

check('IK1', async () => {
	const { status, body } = await ann.send('POST', '/orders', { body: { type, quantity: 1 } });
	assert.equal(status, 400);
	assert.equal(body.code, 'idempotency_key_missing');
	assert.equal(await orders(), 0);
});

check('ER4', async () => {
	const key = randomUUID();
	const first = await ann.post('/orders', { type, quantity: 2 }, key);
	const again = await ann.post('/orders', { type, quantity: 2 }, key);
	assert.equal(first.status, 201);
	assert.deepEqual([again.status, again.text], [first.status, first.text]);
	assert.equal(await orders(), 1);
});

complete();

async function orders() {
	const { rows: [{ count }] } = await world.sql.query('SELECT count(*)::int FROM orders');
	return count;
}
