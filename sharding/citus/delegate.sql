-- Lets the functions on keys run on the tenant's node, where they need one round
-- trip, and where any role can write tables that are colocated with the keys in
-- the same transaction.  After distribute.sql, on the coordinator, and again
-- after ALTER EXTENSION UPDATE:
--     psql -d mydb -f sharding/citus/delegate.sql
-- Then grant roles what they need: the nodes don't know what was granted before.
--
-- The functions on webhook events stay on the coordinator, and with them
-- idempotency_forget_tenant: they keep each stream in order by locks, which
-- webhook_inbox_fetch has to meet.
\set ON_ERROR_STOP on
SET search_path = pg_catalog, pg_temp;

-- A function whose tenant may be left out isn't for one tenant.
SELECT p.oid::regprocedure AS delegated, create_distributed_function(p.oid::regprocedure, 'tenant_id',
	colocate_with => e.extnamespace::regnamespace || '.idempotency_keys', force_delegation => true)
FROM pg_extension AS e
JOIN pg_depend AS d ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND d.deptype = 'e'
JOIN pg_proc AS p ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid
WHERE e.extname = 'idempotency' AND p.proname LIKE 'idempotency\_%' AND p.proname <> 'idempotency_forget_tenant'
	AND p.proargnames[1] = 'tenant_id' AND p.pronargs > p.pronargdefaults
ORDER BY 1;
RESET search_path;
