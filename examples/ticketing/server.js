import { build } from './app.js';
import { connect, connectChain, connectStripe, jwtSecret, logLevel, port, webhookSecrets } from './config.js';

const pool = connect('ticketing_app');
const app = build({
	pool, jwtSecret, webhookSecrets, logLevel,
	stripe: connectStripe(),
	chain: await connectChain(),
});
app.addHook('onClose', () => pool.end());

for (const signal of ['SIGINT', 'SIGTERM']) {
	process.once(signal, () => app.close());
}
await app.listen({ port, host: '127.0.0.1' });
