-- Each function has its verdict: who may call it.
CREATE VIEW routines AS
SELECT p.oid::regprocedure AS routine, p.proacl, p.proowner
FROM pg_proc AS p JOIN pg_depend AS d ON d.objid = p.oid AND d.classid = 'pg_proc'::regclass AND d.deptype = 'e'
JOIN pg_extension AS e ON e.oid = d.refobjid AND e.extname = 'idempotency';
SELECT routine, coalesce(
	(SELECT string_agg(profile, ', ' ORDER BY profile) FROM idempotency_profiles AS p WHERE p.routine = r.routine),
	CASE WHEN has_function_privilege('public', routine, 'EXECUTE') THEN 'public' ELSE 'owner' END) AS may_call
FROM routines AS r ORDER BY routine::text COLLATE "C";
SELECT relation, privilege, string_agg(profile, ', ') AS profiles FROM idempotency_profiles WHERE relation IS NOT NULL
GROUP BY 1, 2 ORDER BY relation::text COLLATE "C";

-- A role can do what its profiles say, and nothing else.
CREATE ROLE "regress Role";
CREATE FUNCTION may(role name) RETURNS TABLE (privilege text) LANGUAGE sql AS $$
	SELECT split_part(routine::text, '(', 1) FROM routines, aclexplode(proacl) AS acl WHERE acl.grantee = role::regrole
	UNION
	SELECT acl.privilege_type || ' ' || oid::regclass FROM pg_class, aclexplode(relacl) AS acl WHERE acl.grantee = role::regrole
	ORDER BY 1 $$;
\set role '"regress Role"'
SELECT idempotency_grant(:'role', 'app');
SELECT * FROM may(:'role');
SELECT idempotency_revoke(:'role', 'app');
SELECT * FROM may(:'role');
SELECT idempotency_grant(:'role', 'worker');
SELECT * FROM may(:'role');
SELECT idempotency_revoke(:'role', 'worker');
SELECT * FROM may(:'role');
SELECT idempotency_grant(:'role', 'admin');
SELECT * FROM may(:'role');
SELECT idempotency_revoke(:'role', 'admin');
SELECT * FROM may(:'role');

-- What another profile needs stays, and doing it twice is doing it once.
SELECT idempotency_grant(:'role', 'app'), idempotency_grant(:'role', 'app'), idempotency_grant(:'role', 'worker');
SELECT idempotency_revoke(:'role', 'worker');
SELECT * FROM may(:'role');
SELECT idempotency_revoke(:'role', 'app'), idempotency_revoke(:'role', 'app');
SELECT * FROM may(:'role');

-- A function that somebody has put beside ours is not ours to grant.
CREATE FUNCTION idempotency_claim(int) RETURNS int LANGUAGE sql AS 'SELECT 1';
SELECT idempotency_grant(:'role', 'app'), idempotency_grant(:'role', 'worker'), idempotency_revoke(:'role', 'worker');
SELECT * FROM may(:'role');
SELECT idempotency_revoke(:'role', 'app');
DROP FUNCTION idempotency_claim(int);

-- In a schema that the role can't use yet, whatever it is called.
DROP VIEW routines CASCADE;
DROP EXTENSION idempotency;
CREATE SCHEMA "Other schema";
CREATE EXTENSION idempotency SCHEMA "Other schema";
SELECT "Other schema".idempotency_grant(:'role', 'app');
ALTER SCHEMA "Other schema" RENAME TO "Renamed schema";
SELECT "Renamed schema".idempotency_grant(:'role', 'worker');
SET ROLE :role;
SELECT outcome FROM "Renamed schema".idempotency_claim('t', 'k');
SELECT count(*) FROM "Renamed schema".webhook_inbox_fetch();
\set VERBOSITY sqlstate
SELECT "Renamed schema".idempotency_sweep();
SELECT "Renamed schema".idempotency_grant(:'role', 'admin');
SELECT "Renamed schema".idempotency_set_profile(:'role', 'admin', true, '{}');
SELECT count(*) FROM "Renamed schema".idempotency_keys;
SELECT count(*) FROM "Renamed schema".idempotency_activity;
SELECT count(*) FROM "Renamed schema".idempotency_profiles;
RESET ROLE;
SELECT "Renamed schema".idempotency_grant(:'role', 'admin');
SET ROLE :role;
SELECT keys FROM "Renamed schema".idempotency_sweep();
SELECT count(*) FROM "Renamed schema".idempotency_keys;
SELECT in_progress FROM "Renamed schema".idempotency_activity;
DELETE FROM "Renamed schema".idempotency_keys;
RESET ROLE;

-- Bad arguments.
SELECT "Renamed schema".idempotency_grant(:'role', 'boss');
SELECT "Renamed schema".idempotency_grant(:'role', NULL);
SELECT "Renamed schema".idempotency_grant(NULL, 'app');
SELECT "Renamed schema".idempotency_revoke(:'role', 'App');
SELECT "Renamed schema".idempotency_revoke(NULL, 'app');
SELECT "Renamed schema".idempotency_grant('no such role', 'app');
SELECT "Renamed schema".idempotency_grant('-', 'app');
SELECT "Renamed schema".idempotency_grant(4294967295::oid, 'app');
\set VERBOSITY terse
SELECT "Renamed schema".idempotency_grant(:'role', 'boss');
SELECT "Renamed schema".idempotency_grant(NULL, 'app');
\set VERBOSITY default
DROP EXTENSION idempotency;
DROP SCHEMA "Renamed schema";

-- Nobody has anything from the start, whatever the database's default.
ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO "regress Role", PUBLIC;
ALTER DEFAULT PRIVILEGES GRANT ALL ON FUNCTIONS TO "regress Role";
CREATE EXTENSION idempotency;
ALTER DEFAULT PRIVILEGES REVOKE ALL ON TABLES FROM "regress Role", PUBLIC;
ALTER DEFAULT PRIVILEGES REVOKE ALL ON FUNCTIONS FROM "regress Role";
SELECT d.objid::regclass AS relation, acl.* FROM pg_depend AS d JOIN pg_extension AS e ON e.oid = d.refobjid AND e.extname = 'idempotency'
JOIN pg_class AS c ON c.oid = d.objid AND d.classid = 'pg_class'::regclass, aclexplode(c.relacl) AS acl WHERE acl.grantee <> c.relowner;
SELECT p.oid::regprocedure AS routine, acl.grantee = 0 AS is_public FROM pg_depend AS d JOIN pg_extension AS e ON e.oid = d.refobjid AND e.extname = 'idempotency'
JOIN pg_proc AS p ON p.oid = d.objid AND d.classid = 'pg_proc'::regclass, aclexplode(p.proacl) AS acl WHERE acl.grantee <> p.proowner ORDER BY 1;
DROP ROLE "regress Role";
