-- Internal statements run as the owner of the table.  Nobody gets those
-- rights along with them.
CREATE ROLE regress_mallory;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO regress_mallory;
CREATE SCHEMA mallory AUTHORIZATION regress_mallory;
CREATE FUNCTION gain() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE NOTICE 'running as a superuser: %', current_setting('is_superuser'); RETURN NEW; END $$;

-- A trigger, by the privilege that GRANT ALL includes.
GRANT ALL ON idempotency_keys TO regress_mallory;
SET ROLE regress_mallory;
CREATE FUNCTION mallory.gain() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE NOTICE 'running as a superuser: %', current_setting('is_superuser'); RETURN NEW; END $$;
CREATE TRIGGER gain BEFORE INSERT OR UPDATE ON public.idempotency_keys FOR EACH ROW EXECUTE FUNCTION mallory.gain();
SELECT outcome FROM idempotency_claim('acme', 'k');
SELECT count(*) FROM idempotency_lookup('acme', 'k');
RESET ROLE;
SELECT outcome FROM idempotency_claim('acme', 'k');
DROP TRIGGER gain ON idempotency_keys;
REVOKE ALL ON idempotency_keys FROM regress_mallory;
GRANT TRIGGER ON webhook_inbox TO regress_mallory;
SET ROLE regress_mallory;
CREATE TRIGGER gain BEFORE INSERT OR UPDATE ON public.webhook_inbox FOR EACH ROW EXECUTE FUNCTION mallory.gain();
SELECT outcome FROM webhook_inbox_record('acme', 's', 'e');
SELECT count(*) FROM webhook_inbox_fetch();
RESET ROLE;
SELECT outcome FROM webhook_inbox_record('acme', 's', 'e');
DROP TRIGGER gain ON webhook_inbox;
REVOKE ALL ON webhook_inbox FROM regress_mallory;
-- The owner's own triggers are the owner's business.
CREATE TRIGGER gain BEFORE INSERT ON idempotency_keys FOR EACH ROW EXECUTE FUNCTION gain();
SELECT outcome FROM idempotency_claim('acme', 'k');
DROP TRIGGER gain ON idempotency_keys;

-- ... even one that makes the plan that is running invalid, and calls us.
CREATE FUNCTION nested() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.key <> 'nested' THEN
		GRANT SELECT ON idempotency_keys TO regress_mallory;
		PERFORM idempotency_forget('acme', 'nested');
		PERFORM idempotency_complete('acme', 'nested', token) FROM idempotency_claim('acme', 'nested');
	END IF;
	RETURN NULL;
END $$;
CREATE TRIGGER nested AFTER INSERT OR UPDATE ON idempotency_keys FOR EACH ROW EXECUTE FUNCTION nested();
SELECT idempotency_complete('acme', 'outer', token) FROM idempotency_claim('acme', 'outer');
DROP TRIGGER nested ON idempotency_keys;
DROP FUNCTION nested;
REVOKE ALL ON idempotency_keys FROM regress_mallory;

-- ... or a rule, with which a statement may be others, or none.
CREATE RULE tell AS ON DELETE TO idempotency_keys DO ALSO NOTIFY changed;
SELECT idempotency_forget('acme', 'outer');
CREATE OR REPLACE RULE tell AS ON DELETE TO idempotency_keys DO INSTEAD NOTHING;
SELECT idempotency_forget('acme', 'nested');
DROP RULE tell ON idempotency_keys;
SELECT idempotency_forget('acme', 'nested');

-- A copy of a function beside a table that only looks like ours.
CREATE TABLE mallory.idempotency_keys (LIKE public.idempotency_keys);
ALTER TABLE mallory.idempotency_keys OWNER TO regress_mallory;
SET ROLE regress_mallory;
ALTER TABLE mallory.idempotency_keys ALTER recovery_point TYPE bigint USING 0;
INSERT INTO mallory.idempotency_keys (created_at, expires_at, token, attempt, tenant_id, scope, key, recovery_point)
VALUES (now(), now() + interval '1 day', 1, 1, 'acme', '', 'k', 42);
RESET ROLE;
CREATE FUNCTION mallory.idempotency_lookup(tenant_id text, key text, scope text DEFAULT '')
RETURNS TABLE (state text, attempt int, recovery_point text, recovery_data jsonb, response_status int,
	response_headers jsonb, response_body text, response_bytes bytea, request_hash bytea, created_at timestamptz,
	lease_expires_at timestamptz, completed_at timestamptz, expires_at timestamptz)
AS 'idempotency', 'idempotency_lookup' LANGUAGE C;
CREATE FUNCTION mallory.idempotency_forget(tenant_id text, key text, scope text DEFAULT '') RETURNS boolean
AS 'idempotency', 'idempotency_forget' LANGUAGE C;
SELECT * FROM mallory.idempotency_lookup('acme', 'k');
SELECT mallory.idempotency_forget('acme', 'k');
DROP TABLE mallory.idempotency_keys;
SELECT mallory.idempotency_forget('acme', 'k');
SELECT state FROM idempotency_lookup('acme', 'k');

-- In a parallel worker, nothing can be written; that is said plainly.
CREATE FUNCTION falsely(key text) RETURNS text LANGUAGE sql PARALLEL SAFE AS $$
	SELECT outcome FROM idempotency_claim('acme', key) $$;
CREATE TABLE many AS SELECT i::text AS key FROM generate_series(1, 10) AS i;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
ALTER TABLE many SET (parallel_workers = 2);
\set VERBOSITY sqlstate
SELECT count(*) FROM many WHERE falsely(key) = 'claimed';
\set VERBOSITY default

SET client_min_messages = warning;
DROP SCHEMA mallory CASCADE;
RESET client_min_messages;
DROP FUNCTION falsely, gain;
DROP TABLE many;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA public FROM regress_mallory;
DROP ROLE regress_mallory;
TRUNCATE idempotency_keys;
