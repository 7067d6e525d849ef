-- Forgetting a key: the same request would be done again.
SELECT idempotency_forget('acme', 'k');
SELECT token AS t FROM idempotency_claim('acme', 'k') \gset
SELECT idempotency_forget('acme', 'k', 'other scope');
SELECT idempotency_forget('globex', 'k');
SELECT idempotency_forget('acme', 'k');
SELECT count(*) FROM idempotency_lookup('acme', 'k');
\set VERBOSITY sqlstate
SELECT idempotency_complete('acme', 'k', :t);
\set VERBOSITY default
SELECT outcome, attempt, token > :t AS greater FROM idempotency_claim('acme', 'k');

TRUNCATE idempotency_keys;
