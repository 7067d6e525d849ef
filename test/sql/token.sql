-- The tokens of a key grow, whatever happens between two claims.
CREATE TABLE tokens (n serial, token bigint, how text);
CREATE FUNCTION claim_again(how text) RETURNS text LANGUAGE sql AS $$
	WITH claimed AS (SELECT * FROM idempotency_claim('acme', 'k', lease => '10 min'))
	INSERT INTO tokens (token, how) SELECT token, how FROM claimed
	RETURNING how $$;
SELECT claim_again('first use');
SELECT abs(token - extract(epoch FROM clock_timestamp()) * 1000000) < 60000000
	AS is_wall_clock FROM tokens;
SELECT idempotency_release('acme', 'k', max(token)) FROM tokens;
SELECT claim_again('release');
SELECT idempotency_complete('acme', 'k', max(token), 500) FROM tokens;
SELECT claim_again('retryable status');
SET idempotency.clock_offset = '11 min';
SELECT claim_again('lapse');
SET idempotency.clock_offset = '2 days';
SELECT claim_again('expiry');
SELECT idempotency_forget('acme', 'k');
SELECT claim_again('forget');
-- A test that has looked at tomorrow leaves no token of tomorrow behind.
RESET idempotency.clock_offset;
SELECT idempotency_forget('acme', 'k');
SELECT claim_again('clock set back');
-- A row from a server whose clock was ahead, restored here.
UPDATE idempotency_keys SET token = 9000000000000000, lease_expires_at = NULL;
INSERT INTO tokens (token, how) VALUES (9000000000000000, 'restore');
SELECT claim_again('restore');
SELECT token FROM tokens ORDER BY n DESC LIMIT 1;
UPDATE idempotency_keys SET expires_at = created_at;
SELECT claim_again('restore, expired');
SELECT count(*), bool_and(greater) AS growing FROM (
	SELECT token > lag(token, 1, 0::bigint) OVER (ORDER BY n) AS greater
	FROM tokens) AS t;

-- No token of another key, and none made up.
SELECT outcome FROM idempotency_claim('acme', 'other');
\set VERBOSITY sqlstate
SELECT idempotency_complete('acme', 'other', max(token)) FROM tokens;
SELECT idempotency_complete('acme', 'other', 0);
SELECT idempotency_complete('acme', 'other', -1);
SELECT idempotency_complete('acme', 'other', 9223372036854775807);
\set VERBOSITY default

DROP FUNCTION claim_again;
DROP TABLE tokens;
TRUNCATE idempotency_keys;
