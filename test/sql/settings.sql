-- Every setting: its default, its context, what it takes and what it refuses.
SELECT idempotency_request_hash('1') IS NOT NULL AS loaded;
SELECT name, setting, context, vartype FROM pg_settings
WHERE name LIKE 'idempotency.%' ORDER BY name;
SELECT count(*) AS undescribed FROM pg_settings
WHERE name LIKE 'idempotency.%' AND short_desc !~ '^(Sets|Lists|Stores) .*\.$';

-- Durations: interval syntax, the units of postgresql.conf, bare numbers.
SET idempotency.lease = '90 seconds';
SET idempotency.lease = '1 day 2 hours';
SET idempotency.lease = '7d';
SET idempotency.lease = '30min';
SET idempotency.lease = '500ms';
SET idempotency.lease = '01:30';
SET idempotency.lease = 'P1DT2H';
SET idempotency.lease = 90;
SELECT outcome FROM idempotency_claim('t', 'bare-number');
SELECT lease_expires_at - created_at AS lease FROM idempotency_lookup('t', 'bare-number');
SET idempotency.lease = '0';
-- the last good value stays
SET idempotency.lease = '7 minutes';
SET idempotency.lease = 'soon';
SET idempotency.lease = '';
SET idempotency.lease = '-1s';
SET idempotency.lease = 'infinity';
SET idempotency.lease = '99999999999999999999';
SET idempotency.lease = 'tomorrow';
SELECT set_config('idempotency.lease', repeat('1', 1000), false);
SHOW idempotency.lease;
SELECT outcome FROM idempotency_claim('t', 'last-good');
SELECT lease_expires_at - created_at AS lease FROM idempotency_lookup('t', 'last-good');
RESET idempotency.lease;
\set VERBOSITY sqlstate
SET idempotency.success_ttl = '-1s';
SET idempotency.client_error_ttl = '-1s';
SET idempotency.tombstone_ttl = '-1s';
SET idempotency.wait = '-1ms';
SET idempotency.wait = 'x';
SET idempotency.clock_offset = 'x';
-- the clock may go back
SET idempotency.clock_offset = '-1 day';
SELECT created_at < now() - interval '23h' AS yesterday FROM idempotency_claim('t', 'yesterday');
SET idempotency.clock_offset = '300000 years';
RESET idempotency.clock_offset;

-- Bounds.
SET idempotency.key_min_length = 0;
SET idempotency.key_min_length = 256;
SET idempotency.key_max_length = 0;
SET idempotency.key_max_length = 256;
SET idempotency.key_format = 'base64';
SET idempotency.keep_request = 'perhaps';
SET idempotency.no_such_setting = 1;
\set VERBOSITY default
SET idempotency.key_min_length = 255;
SELECT outcome FROM idempotency_claim('t', repeat('x', 255));
RESET idempotency.key_min_length;
SET idempotency.key_max_length = 1;
SELECT outcome FROM idempotency_claim('t', 'x');
RESET idempotency.key_max_length;

-- Lists.
SET idempotency.retryable_statuses = '408, 5XX';
SET idempotency.retryable_statuses = '';
SET idempotency.retryable_statuses = ' 500 ,, 503 ';
SET idempotency.retryable_statuses = '6xx';
SET idempotency.retryable_statuses = '99';
SET idempotency.retryable_statuses = '5x';
SET idempotency.retryable_statuses = '50x';
SET idempotency.retryable_statuses = '500;503';
SHOW idempotency.retryable_statuses;
RESET idempotency.retryable_statuses;

-- What only a superuser may set.
CREATE ROLE regress_user;
SET ROLE regress_user;
SET idempotency.lease = '1 min';
SET idempotency.clock_offset = '1 day';
SET idempotency.tenant = 'acme';
RESET ROLE;
RESET ALL;
DROP ROLE regress_user;

TRUNCATE idempotency_keys;
