-- Who may do what: the application claims keys and records events, the worker
-- processes them, the operator looks and sweeps.  Roles belong to the whole
-- server, and so may be there already.

DO $$
DECLARE
	name text;
BEGIN
	FOREACH name IN ARRAY ARRAY['ticketing_app', 'ticketing_worker', 'ticketing_operator'] LOOP
		IF to_regrole(name) IS NULL THEN
			EXECUTE format('CREATE ROLE %I LOGIN', name);
		END IF;
	END LOOP;
END $$;

SELECT idempotency_grant('ticketing_app', 'app');
SELECT idempotency_grant('ticketing_worker', 'worker');
SELECT idempotency_grant('ticketing_operator', 'admin');

GRANT USAGE ON SCHEMA ticketing TO ticketing_app, ticketing_worker;

-- What is booked, or has happened, stays so.
GRANT SELECT, INSERT ON ledger, events TO ticketing_app, ticketing_worker;
-- What the application makes the worker sees to its end.
GRANT SELECT, UPDATE ON payments, tickets, token_purchases, mints, venues TO ticketing_app, ticketing_worker;
GRANT SELECT, UPDATE (available) ON ticket_types TO ticketing_app, ticketing_worker;
GRANT INSERT ON payments, tickets, token_purchases, mints, venues TO ticketing_app;
GRANT SELECT, INSERT, UPDATE ON usage, orders, reservations, refunds, nonces TO ticketing_app;

-- The platform's rules for keys, and an audit trail in the server's log.
DO $$
DECLARE
	setting text;
BEGIN
	FOREACH setting IN ARRAY ARRAY[
		'search_path = ticketing, public',
		'idempotency.key_format = uuid',
		'idempotency.key_min_length = 16',
		'idempotency.key_max_length = 255',
		'idempotency.lease = ''30min''',
		'idempotency.success_ttl = ''24h''',
		'idempotency.client_error_ttl = ''1h''',
		'idempotency.webhook_ttl = ''7d''',
		'idempotency.log_outcomes = ''replay, mismatch, in_progress, duplicate'''
	] LOOP
		EXECUTE format('ALTER DATABASE %I SET %s', current_database(), setting);
	END LOOP;
END $$;
