-- What may happen to the extension under an open session.
SELECT outcome FROM idempotency_claim('acme', 'k');
SELECT idempotency_forget('acme', 'k');
SELECT outcome FROM webhook_inbox_record('acme', 's', 'e');

-- Dropped and created again, also elsewhere.
DROP EXTENSION idempotency;
CREATE EXTENSION idempotency;
SELECT outcome FROM idempotency_claim('acme', 'k');
SELECT outcome FROM idempotency_claim('acme', 'k');
SELECT outcome FROM webhook_inbox_record('acme', 's', 'e');
SELECT outcome FROM webhook_inbox_record('acme', 's', 'e');
DROP EXTENSION idempotency;
CREATE SCHEMA "Other schema";
CREATE EXTENSION idempotency SCHEMA "Other schema";
SELECT outcome FROM "Other schema".idempotency_claim('acme', 'k');
SELECT outcome FROM "Other schema".idempotency_claim('acme', 'k');
SELECT count(*) FROM "Other schema".idempotency_keys;
SELECT outcome FROM "Other schema".webhook_inbox_record('acme', 's', 'e', stream => 'x');
SELECT event_id FROM "Other schema".webhook_inbox_fetch(5, lease => '0');
CREATE FUNCTION ignore(event "Other schema".webhook_event) RETURNS void LANGUAGE sql AS '';

-- The schema renamed, the table altered, the session cleaned.
ALTER SCHEMA "Other schema" RENAME TO renamed;
SELECT outcome FROM renamed.idempotency_claim('acme', 'k');
SELECT event_id FROM renamed.webhook_inbox_fetch(5, lease => '0');
ALTER TABLE renamed.webhook_inbox ADD note text, ALTER state TYPE varchar(20);
SELECT event_id FROM renamed.webhook_inbox_fetch(5, lease => '0');
ALTER TABLE renamed.webhook_inbox DROP note, ALTER state TYPE text COLLATE "C";
DROP INDEX renamed.webhook_inbox_stream_idx;
SELECT event_id FROM renamed.webhook_inbox_fetch(5, lease => '0');
CALL renamed.webhook_inbox_process('ignore(renamed.webhook_event)');
SELECT event_id, state, attempt FROM renamed.webhook_inbox;
DROP FUNCTION ignore;
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
SELECT c::regclass AS dumped, condition = '' AS all_rows
FROM pg_extension, unnest(extconfig, extcondition) AS u (c, condition) WHERE extname = 'idempotency';

-- Dropped by a handler, under the very call that runs it.
CREATE FUNCTION drops(request jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN DROP EXTENSION idempotency; RETURN '1'; END $$;
DISCARD ALL;
\set VERBOSITY sqlstate
SELECT outcome FROM renamed.idempotency_execute('acme', 'k3', '{}', 'drops(jsonb)');
\set VERBOSITY default
SELECT outcome FROM renamed.idempotency_claim('acme', 'k3');
DROP FUNCTION drops;
-- ... and under webhook_inbox_process: that event has failed, and its effects are undone
CREATE FUNCTION drops(event renamed.webhook_event) RETURNS void LANGUAGE sql AS 'DROP EXTENSION idempotency CASCADE';
SELECT outcome FROM renamed.webhook_inbox_record('acme', 's', 'drops');
\set VERBOSITY terse
CALL renamed.webhook_inbox_process('drops(renamed.webhook_event)');
\set VERBOSITY default
SELECT event_id, state FROM renamed.webhook_inbox WHERE event_id = 'drops';
DROP FUNCTION drops;

DROP EXTENSION idempotency;
DROP SCHEMA renamed;
REVOKE ALL ON SCHEMA public FROM regress_owner;
DROP ROLE regress_owner;
CREATE EXTENSION idempotency;
