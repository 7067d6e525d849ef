import { build } from '../app.js';

/**
 * The routes of the application under a path, as it has registered them.
 *
 * @param {string} prefix  such as /orders
 * @param {object} [parts]  of the application, where routes depend on them
 * @returns {Promise<{method: string, url: string}[]>}
 */
export async function routesUnder(prefix, parts = {}) {
	const routes = [];
	const app = build({ pool: {}, stripe: {}, jwtSecret: 'none', webhookSecrets: {}, logLevel: 'silent', ...parts });
	app.addHook('onRoute', ({ method, url }) => {
		if (url === prefix || url.startsWith(`${prefix}/`)) {
			routes.push(...[method].flat().map((name) => ({ method: name, url })));
		}
	});
	await app.ready();
	await app.close();
	return routes.filter(({ method }) => method !== 'HEAD' && method !== 'OPTIONS');
}
