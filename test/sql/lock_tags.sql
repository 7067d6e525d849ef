-- What is locked must be the same in all versions: after an installation, sessions
-- with the old library go on beside sessions with the new one.

-- The hash is over both names' and the third one's bytes, each with a zero behind,
-- seeded with the system's identifier.  These are sixteen, as many as a UUID has.
CREATE FUNCTION lock_hash(a text, b text, c text) RETURNS bigint LANGUAGE sql AS $$
	SELECT uuid_hash_extended(encode(convert_to(a, 'UTF8') || '\x00' || convert_to(b, 'UTF8') || '\x00' || convert_to(c, 'UTF8') || '\x00', 'hex')::uuid,
		system_identifier) FROM pg_control_system() $$;
CREATE VIEW locks AS
	SELECT objsubid AS class, mode, classid::bigint << 32 | objid::bigint AS hash FROM pg_locks
	WHERE locktype = 'advisory' AND pid = pg_backend_pid()
	AND database = (SELECT oid FROM pg_database WHERE datname = current_database());

BEGIN;
SELECT outcome FROM idempotency_claim('acme', 'order1', scope => 'pay');
SELECT class, mode, hash = lock_hash('acme', 'pay', 'order1') AS key FROM locks;
ROLLBACK;

SELECT outcome FROM webhook_inbox_record('acme', 'pay', 'event1', stream => 'order1');
BEGIN;
SELECT outcome FROM webhook_inbox_record('acme', 'pay', 'event2', stream => 'order1');
SELECT class, mode, hash = lock_hash('acme', 'pay', 'event2') AS event, hash = lock_hash('acme', 'pay', 'order1') AS stream FROM locks ORDER BY class;
ROLLBACK;
BEGIN;
SELECT event_id FROM webhook_inbox_fetch();
SELECT class, mode, hash = lock_hash('acme', 'pay', 'event1') AS event, hash = lock_hash('acme', 'pay', 'order1') AS stream FROM locks ORDER BY class;
ROLLBACK;
BEGIN;
SELECT webhook_inbox_complete(tenant_id, source, event_id, token) FROM webhook_inbox_fetch();
SELECT class, mode, hash = lock_hash('acme', 'pay', 'event1') AS event, hash = lock_hash('acme', 'pay', 'order1') AS stream FROM locks ORDER BY class;
ROLLBACK;

DROP VIEW locks;
DROP FUNCTION lock_hash;
TRUNCATE webhook_inbox, idempotency_keys;
