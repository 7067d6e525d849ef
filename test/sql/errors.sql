-- Every error once, by its SQLSTATE, from every function that can raise it.
CREATE FUNCTION echo(request jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT $1';
\set VERBOSITY sqlstate

-- IK001: no key.
SELECT idempotency_claim('t', NULL);
SELECT idempotency_claim('t', '');
SELECT idempotency_complete('t', NULL, 1);
SELECT idempotency_complete('t', '', 1, 200, '{}'::jsonb);
SELECT idempotency_complete('t', '', 1, 200, ''::bytea);
SELECT idempotency_release('t', NULL, 1);
SELECT idempotency_checkpoint('t', NULL, 1, 'p');
SELECT idempotency_heartbeat('t', NULL, 1);
SELECT idempotency_lookup('t', NULL);
SELECT idempotency_execute('t', NULL, '{}', 'echo(jsonb)');
SELECT idempotency_forget('t', NULL);

-- IK002: a key that is none.
SELECT idempotency_claim('t', repeat('x', 256));
SELECT idempotency_claim('t', E'a\nb');
SELECT idempotency_claim('t', E'a\x7fb');
SELECT idempotency_claim('t', U&'a\0085b');
SET idempotency.key_min_length = 16;
SELECT idempotency_claim('t', '123456789012345');
RESET idempotency.key_min_length;
SET idempotency.key_max_length = 10;
SELECT idempotency_claim('t', '12345678901');
RESET idempotency.key_max_length;
SET idempotency.key_format = 'uuid';
SELECT idempotency_claim('t', 'f47ac10b-58cc-4372-a567-0e02b2c3d47');
SELECT idempotency_claim('t', 'f47ac10b-58cc-4372-a567-0e02b2c3d47g');
SELECT idempotency_claim('t', '{f47ac10b-58cc-4372-a567-0e02b2c3d47}');
SELECT idempotency_claim('t', 'f47ac10b58cc-4372-a567-0e02b2c3d4790-');
SELECT outcome FROM idempotency_claim('t', 'f47ac10b-58cc-4372-a567-0e02b2c3d479');
SELECT outcome FROM idempotency_claim('t', 'F47AC10B-58CC-4372-A567-0E02B2C3D47F');
RESET idempotency.key_format;

-- IK003: a tenant or scope that is none.
SELECT idempotency_claim(NULL, 'k');
SELECT idempotency_claim('', 'k');
SELECT idempotency_claim(repeat('x', 256), 'k');
SELECT idempotency_claim(E'a\tb', 'k');
SELECT idempotency_claim('t', 'k', scope => NULL);
SELECT idempotency_claim('t', 'k', scope => repeat('x', 256));
SELECT idempotency_claim('t', 'k', scope => repeat('é', 128));
SELECT idempotency_claim('t', 'k', scope => E'\x01');
SELECT idempotency_complete(NULL, 'k', 1);
SELECT idempotency_release('', 'k', 1);
SELECT idempotency_checkpoint('t', 'k', 1, 'p', scope => NULL);
SELECT idempotency_heartbeat(NULL, 'k', 1);
SELECT idempotency_lookup('t', 'k', NULL);
SELECT idempotency_execute('', 'k', '{}', 'echo(jsonb)');
SELECT idempotency_claim_abandoned(tenant_id => '');
SELECT idempotency_claim_abandoned(scope => E'\n');
SELECT idempotency_forget(NULL, 'k');

-- IK004 is in lease.sql and release.sql.  IK005: no such key.
SELECT idempotency_complete('t', 'none', 1);
SELECT idempotency_complete('t', 'none', 1, 503);
SELECT idempotency_release('t', 'none', 1);
SELECT idempotency_checkpoint('t', 'none', 1, 'p');
SELECT idempotency_heartbeat('t', 'none', 1);

-- 22023: other arguments.
SELECT idempotency_claim('t', 'k', lease => '-1 s');
SELECT idempotency_claim('t', 'k', ttl => '-1 s');
SELECT idempotency_claim('t', 'k', wait => '-1 s');
SELECT idempotency_claim('t', 'k', ttl => '178000000 years');
SELECT idempotency_claim('t', 'k', ttl => '300000 years');
SELECT idempotency_claim('t', 'k', wait => '300000 years');
SELECT idempotency_complete('t', 'k', NULL);
SELECT idempotency_complete('t', 'k', 1, NULL);
SELECT idempotency_complete('t', 'k', 1, 99);
SELECT idempotency_complete('t', 'k', 1, 600);
SELECT idempotency_complete('t', 'k', 1, -2147483648);
SELECT idempotency_complete('t', 'k', 1, 200, ttl => '-1 s');
SELECT idempotency_complete('t', 'k', 1, 200, 'x', '"text"');
SELECT idempotency_complete('t', 'k', 1, 200, 'x', '1');
SELECT idempotency_complete('t', 'k', 1, 200, 'x', 'null');
SELECT idempotency_complete('t', 'k', 1, 200, 'x', '["a", "b"]');
SELECT idempotency_complete('t', 'k', 1, 200, 'x', '[["a", "b"]]');
SELECT idempotency_release('t', 'k', NULL);
SELECT idempotency_checkpoint('t', 'k', NULL, 'p');
SELECT idempotency_checkpoint('t', 'k', 1, NULL);
SELECT idempotency_checkpoint('t', 'k', 1, 'p', lease => '-1 s');
SELECT idempotency_heartbeat('t', 'k', NULL);
SELECT idempotency_heartbeat('t', 'k', 1, lease => '-1 s');
SELECT idempotency_claim_abandoned(0);
SELECT idempotency_claim_abandoned(NULL);
SELECT idempotency_claim_abandoned(lease => '-1 s');
SELECT idempotency_derive_key(NULL, 'a');
SELECT idempotency_derive_key('6ba7b810-9dad-11d1-80b4-00c04fd430c8', NULL);
SELECT idempotency_derive_key('6ba7b810-9dad-11d1-80b4-00c04fd430c8', 'a', NULL);
SELECT idempotency_derive_key('6ba7b810-9dad-11d1-80b4-00c04fd430c8', VARIADIC '{}');
SELECT idempotency_derive_key('6ba7b810-9dad-11d1-80b4-00c04fd430c8', VARIADIC '{{a,b}}');

-- 25006: nothing may be written.
BEGIN READ ONLY;
SAVEPOINT s;
SELECT idempotency_claim('t', 'k');
ROLLBACK TO s;
SELECT idempotency_complete('t', 'k', 1);
ROLLBACK TO s;
SELECT idempotency_complete('t', 'k', 1, 200, '{}'::jsonb);
ROLLBACK TO s;
SELECT idempotency_complete('t', 'k', 1, 200, ''::bytea);
ROLLBACK TO s;
SELECT idempotency_release('t', 'k', 1);
ROLLBACK TO s;
SELECT idempotency_checkpoint('t', 'k', 1, 'p');
ROLLBACK TO s;
SELECT idempotency_heartbeat('t', 'k', 1);
ROLLBACK TO s;
SELECT idempotency_execute('t', 'k', '{}', 'echo(jsonb)');
ROLLBACK TO s;
SELECT idempotency_claim_abandoned();
ROLLBACK TO s;
SELECT idempotency_forget('t', 'k');
ROLLBACK;

-- How they read.
\set VERBOSITY default
SELECT idempotency_claim('t', '');
SELECT idempotency_claim('t', repeat('x', 256));
SELECT idempotency_claim('', 'k');
SELECT idempotency_claim('t', 'k', lease => '-1 s');
SELECT idempotency_complete('t', 'none', 1);
SELECT token AS t FROM idempotency_claim('t', 'k') \gset
SELECT idempotency_complete('t', 'k', :t + 1);
BEGIN READ ONLY;
SELECT idempotency_claim('t', 'k');
ROLLBACK;

DROP FUNCTION echo;
TRUNCATE idempotency_keys;
