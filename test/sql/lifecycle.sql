-- What may happen to the extension under an open session.
SELECT outcome FROM idempotency_claim('acme', 'k');
SELECT idempotency_forget('acme', 'k');

-- Dropped and created again, also elsewhere.
DROP EXTENSION idempotency;
CREATE EXTENSION idempotency;
SELECT outcome FROM idempotency_claim('acme', 'k');
SELECT outcome FROM idempotency_claim('acme', 'k');
DROP EXTENSION idempotency;
CREATE SCHEMA "Other schema";
CREATE EXTENSION idempotency SCHEMA "Other schema";
SELECT outcome FROM "Other schema".idempotency_claim('acme', 'k');
SELECT outcome FROM "Other schema".idempotency_claim('acme', 'k');
SELECT count(*) FROM "Other schema".idempotency_keys;

-- The schema renamed, the table altered, the session cleaned.
ALTER SCHEMA "Other schema" RENAME TO renamed;
SELECT outcome FROM renamed.idempotency_claim('acme', 'k');
ALTER TABLE renamed.idempotency_keys ADD note text;
ALTER TABLE renamed.idempotency_keys DROP note;
SELECT outcome FROM renamed.idempotency_claim('acme', 'k');
ALTER TABLE renamed.idempotency_keys SET (fillfactor = 90);
DISCARD ALL;
SELECT outcome FROM renamed.idempotency_claim('acme', 'k');
SELECT renamed.idempotency_forget('acme', 'k');
SELECT outcome FROM renamed.idempotency_claim('acme', 'k');

-- A new owner: the statements run as that one.
CREATE ROLE regress_owner;
ALTER TABLE renamed.idempotency_keys OWNER TO regress_owner;
GRANT USAGE ON SCHEMA renamed TO regress_owner;
SELECT outcome FROM renamed.idempotency_claim('acme', 'k2');
REVOKE INSERT ON renamed.idempotency_keys FROM regress_owner;
SELECT outcome FROM renamed.idempotency_claim('acme', 'k4');
ALTER TABLE renamed.idempotency_keys OWNER TO CURRENT_USER;

-- It can't be moved.
ALTER EXTENSION idempotency SET SCHEMA public;

-- Dropped inside a transaction that is rolled back.
BEGIN;
DROP EXTENSION idempotency;
CREATE EXTENSION idempotency;
SELECT outcome FROM idempotency_claim('acme', 'k');
ROLLBACK;
SELECT outcome FROM renamed.idempotency_claim('acme', 'k');

-- The rows belong in a dump.
SELECT extconfig[1]::regclass AS dumped, extcondition[1] = '' AS all_rows
FROM pg_extension WHERE extname = 'idempotency';

-- Dropped by a handler, under the very call that runs it.
CREATE FUNCTION drops(request jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN DROP EXTENSION idempotency; RETURN '1'; END $$;
DISCARD ALL;
\set VERBOSITY sqlstate
SELECT outcome FROM renamed.idempotency_execute('acme', 'k3', '{}', 'drops(jsonb)');
\set VERBOSITY default
SELECT outcome FROM renamed.idempotency_claim('acme', 'k3');
DROP FUNCTION drops;

DROP EXTENSION idempotency;
DROP SCHEMA renamed;
REVOKE ALL ON SCHEMA public FROM regress_owner;
DROP ROLE regress_owner;
CREATE EXTENSION idempotency;
