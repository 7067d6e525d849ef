-- Leases, heartbeats and checkpoints.
SELECT token AS first FROM idempotency_claim('acme', 'charge', '{"eur": 10}') \gset
SELECT lease_expires_at - created_at AS lease
FROM idempotency_lookup('acme', 'charge');

-- A checkpoint tells how far the work has come, and extends the lease.
SELECT idempotency_checkpoint('acme', 'charge', :first, 'charging',
	'{"provider_key": "pk-1"}', lease => '1h')
	BETWEEN clock_timestamp() + interval '59 min'
	AND clock_timestamp() + interval '1h' AS an_hour;
SELECT state, recovery_point, recovery_data,
	date_trunc('minute', lease_expires_at - created_at) AS lease
FROM idempotency_lookup('acme', 'charge');
-- The next one replaces it, data and all.
SELECT idempotency_checkpoint('acme', 'charge', :first, 'charged') IS NULL;
SELECT recovery_point, recovery_data FROM idempotency_lookup('acme', 'charge');

-- Just before the lease ends the key is protected, at its end it is not.
SET idempotency.clock_offset = '29 min';
SELECT outcome, retry_after
FROM idempotency_claim('acme', 'charge', '{"eur": 10}');
SELECT idempotency_heartbeat('acme', 'charge', :first)
	> clock_timestamp() + interval '58 min' AS extended;
SET idempotency.clock_offset = '31 min';
SELECT outcome FROM idempotency_claim('acme', 'charge', '{"eur": 10}');
SET idempotency.clock_offset = '1h';
SELECT outcome FROM idempotency_claim('acme', 'charge', '{"eur": 11}');
SELECT outcome, attempt, recovery_point, recovery_data, token > :first AS greater
FROM idempotency_claim('acme', 'charge', '{"eur": 10}');

-- The holder that died after all did not, and comes too late.
\set VERBOSITY sqlstate
SELECT idempotency_complete('acme', 'charge', :first);
SELECT idempotency_checkpoint('acme', 'charge', :first, 'late');
SELECT idempotency_heartbeat('acme', 'charge', :first);
SELECT idempotency_release('acme', 'charge', :first);
\set VERBOSITY default
SELECT state, attempt, recovery_point FROM idempotency_lookup('acme', 'charge');

-- A lease that lapsed but that nobody took over is still the holder's.
SELECT token AS slow FROM idempotency_claim('acme', 'slow', lease => '1 s') \gset
SET idempotency.clock_offset = '2h';
SELECT state FROM idempotency_lookup('acme', 'slow');
SELECT idempotency_complete('acme', 'slow', :slow, 200, 'done');
RESET idempotency.clock_offset;

-- The lengths: argument, setting, and never beyond the row's own end.
SELECT outcome FROM idempotency_claim('acme', 'l1', lease => '90 s');
SELECT lease_expires_at - created_at AS lease
FROM idempotency_lookup('acme', 'l1');
SET idempotency.lease = '5min';
SELECT outcome FROM idempotency_claim('acme', 'l2');
SELECT lease_expires_at - created_at AS lease FROM idempotency_lookup('acme', 'l2');
RESET idempotency.lease;
SELECT outcome FROM idempotency_claim('acme', 'l3', lease => '2 days', ttl => '1h');
SELECT lease_expires_at - created_at AS lease FROM idempotency_lookup('acme', 'l3');
-- ... though a heartbeat moves that end along
SELECT idempotency_heartbeat('acme', 'l3', token, lease => '2h') IS NOT NULL
FROM idempotency_keys WHERE key = 'l3';
SELECT expires_at = lease_expires_at AS together,
	expires_at - created_at >= interval '2h' AS later
FROM idempotency_lookup('acme', 'l3');
-- A lease of nothing protects nothing.
SELECT outcome FROM idempotency_claim('acme', 'l4', lease => '0');
SELECT outcome, attempt FROM idempotency_claim('acme', 'l4');

-- retry_after grows with the age of the claim, within the lease.
SELECT outcome FROM idempotency_claim('acme', 'r', lease => '10 min');
SELECT retry_after FROM idempotency_claim('acme', 'r');
UPDATE idempotency_keys SET token = token - 60 * 1000000 WHERE key = 'r';
SELECT retry_after BETWEEN 60 AND 70 AS about_a_minute
FROM idempotency_claim('acme', 'r');
UPDATE idempotency_keys SET token = token - 3600 * 1000000::bigint WHERE key = 'r';
SELECT retry_after BETWEEN 590 AND 600 AS rest_of_lease
FROM idempotency_claim('acme', 'r');

TRUNCATE idempotency_keys;
