-- What is called for all tenants at once, tenant by tenant: a statement that
-- locks rows needs one shard.  After distribute.sql, on the coordinator, in
-- the extension's schema:
--     psql -d mydb -f sharding/citus/each_tenant.sql
--
-- Whoever calls these needs SELECT on the tables beside the functions they call;
-- for the first one, a superuser's right to SET idempotency.tenant.
\set ON_ERROR_STOP on
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;

-- The names have their schema: what commits can't have a search_path of its own.
-- %2$s lists tenants that have events due, of the source $2 or of all.
SELECT format($$
-- idempotency_sweep, which commits after each tenant.  max_rows is for each.
CREATE PROCEDURE %1$s.idempotency_sweep_each_tenant(max_rows int DEFAULT 10000)
LANGUAGE plpgsql AS $_$
DECLARE
	_tenant text;
BEGIN
	FOREACH _tenant IN ARRAY ARRAY(
		SELECT tenant_id FROM %1$s.idempotency_keys WHERE expires_at <= clock_timestamp()
		UNION SELECT tenant_id FROM %1$s.webhook_inbox WHERE expires_at <= clock_timestamp()) LOOP
		PERFORM set_config('idempotency.tenant', _tenant, true);
		PERFORM %1$s.idempotency_sweep(max_rows);
		COMMIT;
	END LOOP;
END $_$;

-- webhook_inbox_fetch, from those tenants first whose events are due longest.
CREATE FUNCTION %1$s.webhook_inbox_fetch_each_tenant(max_events int DEFAULT 1, source text DEFAULT NULL, lease interval DEFAULT NULL)
RETURNS SETOF %1$s.webhook_event
LANGUAGE plpgsql AS $_$
DECLARE
	_tenant text;
	_wanted int := max_events;
	_fetched int;
BEGIN
	FOREACH _tenant IN ARRAY ARRAY(%2$s) LOOP
		RETURN QUERY SELECT * FROM %1$s.webhook_inbox_fetch(_wanted, source, _tenant, lease);
		GET DIAGNOSTICS _fetched = ROW_COUNT;
		_wanted := _wanted - _fetched;
		EXIT WHEN _wanted <= 0;
	END LOOP;
END $_$;

-- webhook_inbox_process.  max_events is for each tenant.
CREATE PROCEDURE %1$s.webhook_inbox_process_each_tenant(handler regprocedure, source text DEFAULT NULL, max_events int DEFAULT 100)
LANGUAGE plpgsql AS $_$
DECLARE
	_tenant text;
BEGIN
	FOREACH _tenant IN ARRAY ARRAY(%2$s) LOOP
		CALL %1$s.webhook_inbox_process(handler, source, _tenant, max_events);
	END LOOP;
END $_$;

-- webhook_inbox_requeue_dead.  max_rows is for each tenant.
CREATE FUNCTION %1$s.webhook_inbox_requeue_dead_each_tenant(source text DEFAULT NULL, max_rows int DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql AS $_$
DECLARE
	_tenant text;
	_requeued bigint := 0;
BEGIN
	FOREACH _tenant IN ARRAY ARRAY(SELECT DISTINCT i.tenant_id FROM %1$s.webhook_inbox AS i WHERE i.state = 'dead') LOOP
		_requeued := _requeued + %1$s.webhook_inbox_requeue_dead(_tenant, source, max_rows);
	END LOOP;
	RETURN _requeued;
END $_$;

REVOKE ALL ON ROUTINE %1$s.idempotency_sweep_each_tenant, %1$s.webhook_inbox_fetch_each_tenant,
	%1$s.webhook_inbox_process_each_tenant, %1$s.webhook_inbox_requeue_dead_each_tenant FROM PUBLIC;
$$, extnamespace::regnamespace, format($$
		SELECT i.tenant_id FROM %s.webhook_inbox AS i
		WHERE i.due_at <= clock_timestamp() AND i.source = coalesce($2, i.source)
		GROUP BY i.tenant_id ORDER BY min(i.due_at)$$, extnamespace::regnamespace))
FROM pg_extension WHERE extname = 'idempotency'
\gexec
COMMIT;
