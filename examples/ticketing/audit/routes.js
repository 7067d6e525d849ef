import { build } from '../app.js';

/**
 * The routes under a path that change something, as the application has
 * registered them.
 *
 * @param {string} prefix  such as /orders
 * @param {object} [parts]  of the application, where routes depend on them
 * @returns {Promise<string[]>} such as POST /orders/:id/cancel, sorted
 */
export async function changingRoutes(prefix, parts = {}) {
	const routes = [];
	const app = build({ pool: {}, stripe: {}, jwtSecret: 'none', webhookSecrets: {}, logLevel: 'silent', ...parts });
	app.addHook('onRoute', ({ method, url }) => {
		if (url === prefix || url.startsWith(`${prefix}/`)) {
			routes.push(...[method].flat().map((name) => `${name} ${url}`));
		}
	});
	await app.ready();
	await app.close();
	return routes.filter((route) => !/^(GET|HEAD|OPTIONS) /.test(route)).sort();
}

/** The route that a request is to. */
export function routeOf({ method = 'POST', path }) {
	return `${method} ${path.replace(/\d+/, ':id')}`;
}
