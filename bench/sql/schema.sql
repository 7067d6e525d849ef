-- What the scripts beside this one work on: the extension, tables of the same
-- form that it knows nothing of, and what people write by hand.
CREATE EXTENSION idempotency;
CREATE TABLE bare (LIKE idempotency_keys INCLUDING ALL);
CREATE TABLE bare_inbox (LIKE webhook_inbox INCLUDING ALL);

-- LIKE leaves storage parameters behind.
SELECT format('ALTER TABLE %I SET (%s)', twin, array_to_string(reloptions, ', '))
FROM pg_class JOIN (VALUES ('idempotency_keys', 'bare'), ('webhook_inbox', 'bare_inbox')) AS t (original, twin)
	ON oid = original::regclass
WHERE reloptions IS NOT NULL \gexec

CREATE TABLE orders (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	key text NOT NULL,
	amount int NOT NULL,
	created_at timestamptz NOT NULL DEFAULT now()
);

CREATE FUNCTION place_order(request jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO orders (key, amount) VALUES ('1234567890123', (request->>'amount')::int);
	RETURN '{"id": 42, "status": "paid"}';
END $$;

-- Claiming and completing as an application would write it in PL/pgSQL.
CREATE FUNCTION claim_by_hand(a_tenant text, a_key text, a_request jsonb,
	OUT outcome text, OUT a_token bigint, OUT a_status int, OUT a_body text) LANGUAGE plpgsql AS $$
DECLARE
	hash CONSTANT bytea := sha256(convert_to(a_request::text, 'UTF8'));
	known bare;
BEGIN
	INSERT INTO bare (tenant_id, scope, key, request_hash, token, attempt, created_at, lease_expires_at, expires_at)
	VALUES (a_tenant, '', a_key, hash, 1795255850801339, 1, clock_timestamp(), clock_timestamp() + interval '30 min', clock_timestamp() + interval '24 h')
	ON CONFLICT (tenant_id, key, scope) DO NOTHING RETURNING token INTO a_token;
	IF FOUND THEN
		outcome := 'claimed';
		RETURN;
	END IF;
	SELECT * INTO known FROM bare WHERE tenant_id = a_tenant AND key = a_key AND scope = '';
	outcome := CASE WHEN known.request_hash <> hash THEN 'mismatch'
		WHEN known.completed_at IS NULL THEN 'in_progress' ELSE 'replay' END;
	a_status := known.response_status;
	a_body := known.response_body;
END $$;

CREATE FUNCTION complete_by_hand(a_tenant text, a_key text, a_token bigint, a_status int, a_body text)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	UPDATE bare SET response_status = a_status, response_body = a_body, completed_at = clock_timestamp(), lease_expires_at = NULL
	WHERE tenant_id = a_tenant AND key = a_key AND scope = '' AND token = a_token;
	IF NOT FOUND THEN
		RAISE 'not the holder any more';
	END IF;
END $$;

CREATE FUNCTION order_by_hand(a_tenant text, a_key text, a_request jsonb,
	OUT outcome text, OUT status int, OUT body text) LANGUAGE plpgsql AS $$
DECLARE
	claim record := claim_by_hand(a_tenant, a_key, a_request);
BEGIN
	IF claim.outcome = 'claimed' THEN
		body := place_order(a_request);
		status := 200;
		PERFORM complete_by_hand(a_tenant, a_key, claim.a_token, status, body);
		outcome := 'executed';
	ELSE
		outcome := claim.outcome;
		status := claim.a_status;
		body := claim.a_body;
	END IF;
END $$;

-- Keys that were completed an hour ago; in no order, as keys come.
CREATE PROCEDURE fill_keys(amount bigint, expired boolean DEFAULT false) LANGUAGE sql AS $$
	INSERT INTO idempotency_keys (tenant_id, scope, key, request_hash, token, attempt, created_at, completed_at, expires_at, response_status, response_body)
	SELECT 'acme', '', ((random() * 9 + 1) * 1e12)::bigint::text, idempotency_request_hash('{"amount": 100, "currency": "EUR"}'), 1795255850801339, 1,
		now() - interval '1 h', now() - interval '1 h', now() + CASE WHEN expired THEN interval '-1 s' ELSE interval '23 h' END, 201, '{"id": 42, "status": "paid"}'
	FROM generate_series(1, amount)
	ON CONFLICT DO NOTHING
$$;

-- Keys whose names are known: 1, 2, 3 ...
CREATE PROCEDURE fill_known_keys(amount bigint) LANGUAGE sql AS $$
	INSERT INTO idempotency_keys (tenant_id, scope, key, request_hash, token, attempt, created_at, completed_at, expires_at, response_status, response_body)
	SELECT 'acme', '', i::text, idempotency_request_hash('{"amount": 100, "currency": "EUR"}'), 1795255850801339, 1,
		now(), now(), now() + interval '24 h', 201, '{"id": 42, "status": "paid"}'
	FROM generate_series(1, amount) AS i
$$;

CREATE PROCEDURE fill_inboxes(amount bigint) LANGUAGE sql AS $$
	INSERT INTO webhook_inbox (tenant_id, source, event_id, payload, state, received_at, due_at, token, attempt)
	SELECT 'acme', 'stripe', ((random() * 9 + 1) * 1e12)::bigint::text, '{"amount": 100, "currency": "EUR"}', 'pending', clock_timestamp(), clock_timestamp(), 0, 0
	FROM generate_series(1, amount) ON CONFLICT DO NOTHING;
	INSERT INTO bare_inbox SELECT * FROM webhook_inbox ON CONFLICT DO NOTHING
$$;

-- A hundred events; where their ids have KEY, each caller puts its own.
CREATE TABLE batch AS
SELECT jsonb_agg(jsonb_build_object('event_id', i || '_KEY', 'payload', '{"amount": 100, "currency": "EUR"}'::jsonb))::text AS events
FROM generate_series(1, 100) AS i;
