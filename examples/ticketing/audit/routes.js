import { build } from '../app.js';

/**
 * The routes of the application under a path, as it has registered them.
 *
 * @param {string} prefix  such as /orders
 * @returns {Promise<{method: string, url: string}[]>}
 */
export async function routesUnder(prefix) {
	const routes = [];
	const app = build({ pool: {}, stripe: {}, chain: {}, jwtSecret: 'none', webhookSecrets: {}, logLevel: 'silent' });
	app.addHook('onRoute', ({ method, url }) => {
		if (url === prefix || url.startsWith(`${prefix}/`)) {
			routes.push(...[method].flat().map((name) => ({ method: name, url })));
		}
	});
	await app.ready();
	await app.close();
	return routes.filter(({ method }) => method !== 'HEAD' && method !== 'OPTIONS');
}
