-- Distributes the extension's tables by tenant.  On the coordinator of a Citus
-- cluster, as the owner of the extension, once and before there are keys:
--     psql -d mydb -f sharding/citus/distribute.sql
\set ON_ERROR_STOP on
SET search_path = pg_catalog, pg_temp;
SELECT extnamespace::regnamespace || '.idempotency_keys' AS keys, extnamespace::regnamespace || '.webhook_inbox' AS inbox
FROM pg_extension WHERE extname = 'idempotency'
\gset

SELECT create_distributed_table(:'keys', 'tenant_id', colocate_with => 'none');

-- In one transaction, two roles can't both write tables that are colocated.  The
-- functions write the inbox as its owner, from the coordinator.
SELECT create_distributed_table(:'inbox', 'tenant_id', colocate_with => 'none');
RESET search_path;
