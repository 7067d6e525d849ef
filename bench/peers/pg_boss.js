import PgBoss from 'pg-boss';

const queue = 'shop';
const request = { amount: 100, currency: 'EUR' };
const batchSize = 50;
export const drainedPerSecond = 15000;

/** A queue whose jobs are unique by key for the longest time it allows: half a day. */
export async function connect() {
	const boss = new PgBoss({ host: process.env.PGHOST, port: Number(process.env.PGPORT), user: process.env.PGUSER,
		database: process.env.PGDATABASE, max: 1, supervise: false, schedule: false });
	boss.on('error', (error) => { throw error; });
	await boss.start();
	if (!await boss.getQueue(queue)) await boss.createQueue(queue);

	return {
		async enqueue(key) {
			if (!await boss.send(queue, request, { singletonKey: key, singletonSeconds: 43200 })) {
				throw new Error('the key is taken');
			}
		},

		async fill(amount) {
			await boss.clearStorage();
			await boss.insert(Array.from({ length: amount }, () => ({ name: queue, data: request })));
		},

		async drain(handle) {
			for (;;) {
				const jobs = await boss.fetch(queue, { batchSize });
				if (!jobs.length) return;
				for (const job of jobs) await handle(job.data);
				await boss.complete(queue, jobs.map((job) => job.id));
			}
		},

		end: () => boss.stop({ graceful: false }),
	};
}
