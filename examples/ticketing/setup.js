import pg from 'pg';
import { install } from './schema/install.js';

// Makes a database the application's: as a superuser, in the one that PGDATABASE names.

const client = new pg.Client();
await client.connect();
await install(client);
await client.end();
