-- What the scenario works on: effects that can be counted.
CREATE EXTENSION idempotency;

CREATE TABLE bookings (tenant_id text NOT NULL, seat int NOT NULL);

-- Stands for a provider outside the database, which does the same once for each
-- of its keys.
CREATE TABLE charges (tenant_id text NOT NULL, seat int NOT NULL, provider_key uuid PRIMARY KEY);

CREATE FUNCTION effects(tenant_id text, seat int, OUT bookings int, OUT charges int)
BEGIN ATOMIC
	SELECT (SELECT count(*) FROM bookings AS b WHERE b.tenant_id = effects.tenant_id AND b.seat = effects.seat),
		(SELECT count(*) FROM charges AS c WHERE c.tenant_id = effects.tenant_id AND c.seat = effects.seat);
END;

CREATE FUNCTION book(tenant_id text, seat int) RETURNS void
BEGIN ATOMIC
	INSERT INTO bookings VALUES (tenant_id, seat);
END;

-- a handler of idempotency_execute
CREATE FUNCTION handle_booking(request jsonb) RETURNS idempotency_response
BEGIN ATOMIC
	INSERT INTO bookings VALUES (request ->> 'tenant', (request ->> 'seat')::int);
	SELECT (201, '{"Location": "/bookings/1"}'::jsonb, 'seat ' || (request ->> 'seat'))::idempotency_response;
END;
