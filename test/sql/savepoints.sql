-- A claim follows the savepoint it was made under.
BEGIN;
SAVEPOINT s;
SELECT outcome FROM idempotency_claim('acme', 'k');
SELECT count(*) AS locks FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid();
ROLLBACK TO s;
SELECT count(*) AS locks FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid();
SELECT outcome FROM idempotency_claim('acme', 'k');
RELEASE s;
SELECT count(*) AS locks FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid();
COMMIT;
SELECT state, attempt FROM idempotency_lookup('acme', 'k');

-- A completion that is rolled back leaves the claim as it was.
SELECT token AS t FROM idempotency_claim('acme', 'k2') \gset
BEGIN;
SAVEPOINT s;
SELECT idempotency_complete('acme', 'k2', :t, 200, 'first thought');
ROLLBACK TO s;
SELECT state FROM idempotency_lookup('acme', 'k2');
SELECT idempotency_complete('acme', 'k2', :t, 200, 'second thought');
COMMIT;
SELECT outcome, response_body FROM idempotency_claim('acme', 'k2');

-- A claim from before a savepoint survives its rollback.
BEGIN;
SELECT token AS t3 FROM idempotency_claim('acme', 'k3') \gset
SAVEPOINT s;
SELECT outcome FROM idempotency_claim('acme', 'k3');
SELECT idempotency_checkpoint('acme', 'k3', :t3, 'undone') IS NOT NULL;
ROLLBACK TO s;
SELECT recovery_point FROM idempotency_lookup('acme', 'k3');
SELECT count(*) AS locks FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid();
SELECT idempotency_complete('acme', 'k3', :t3);
COMMIT;

-- The lock stays with the row, not with the statement: here, a cursor's that
-- was declared before a savepoint, first failing after a claim outside of it,
BEGIN;
DECLARE c CURSOR FOR SELECT (idempotency_claim('acme', key)).outcome, 1 / divisor AS one
FROM (VALUES ('c1', 1), ('c2', 0)) AS v (key, divisor);
FETCH c;
SAVEPOINT s;
FETCH c;
ROLLBACK TO s;
SELECT count(*) AS locks FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid();
SELECT state FROM idempotency_lookup('acme', 'c1');
ROLLBACK;
-- ... then claiming inside of it.
BEGIN;
DECLARE c CURSOR FOR SELECT (idempotency_claim('acme', key)).outcome
FROM (VALUES ('c1'), ('c2')) AS v (key);
SAVEPOINT s;
FETCH c;
ROLLBACK TO s;
SELECT count(*) AS locks FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid();
ROLLBACK;

-- An exception block is a savepoint: the error undoes claim and work alike.
CREATE TABLE effects (what text);
DO $$
DECLARE
	c record;
BEGIN
	BEGIN
		SELECT * INTO c FROM idempotency_claim('acme', 'k4');
		INSERT INTO effects VALUES ('first');
		RAISE 'something went wrong';
	EXCEPTION WHEN raise_exception THEN
		NULL;
	END;
	SELECT * INTO c FROM idempotency_claim('acme', 'k4');
	INSERT INTO effects VALUES ('second');
	PERFORM idempotency_complete('acme', 'k4', c.token, 200, c.outcome || ' ' || c.attempt);
END $$;
SELECT what FROM effects;
SELECT outcome, response_body FROM idempotency_claim('acme', 'k4');

-- An outdated token takes the other writes of its transaction down with it.
BEGIN;
INSERT INTO effects VALUES ('zombie');
SELECT idempotency_complete('acme', 'k', 1);
COMMIT;
SELECT what FROM effects;

-- An error of our own inside a block costs just the block.
DO $$
BEGIN
	BEGIN
		PERFORM idempotency_complete('acme', 'k', 1);
	EXCEPTION WHEN SQLSTATE 'IK004' THEN
		RAISE NOTICE 'outdated';
	END;
	BEGIN
		PERFORM idempotency_claim('acme', '');
	EXCEPTION WHEN SQLSTATE 'IK001' THEN
		RAISE NOTICE 'missing';
	END;
END $$;

DROP TABLE effects;
TRUNCATE idempotency_keys;
