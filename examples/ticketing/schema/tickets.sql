CREATE TABLE tickets (
	tenant text,
	id int GENERATED ALWAYS AS IDENTITY,
	type int NOT NULL,
	owner text NOT NULL,
	price bigint NOT NULL,			-- cents
	state text NOT NULL DEFAULT 'reserved' CHECK (state IN ('reserved', 'sold', 'cancelled')),
	idempotency_key uuid NOT NULL,
	created_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (tenant, id),
	FOREIGN KEY (tenant, type) REFERENCES ticket_types (tenant, id)
);

-- What is held for somebody for a while, at today's price: bought in time, or
-- given back to whoever comes then.
CREATE TABLE reservations (
	tenant text,
	id int GENERATED ALWAYS AS IDENTITY,
	user_id text NOT NULL,
	type int NOT NULL,
	quantity int NOT NULL CHECK (quantity > 0),
	price bigint NOT NULL,			-- cents, of one
	state text NOT NULL DEFAULT 'held' CHECK (state IN ('held', 'bought', 'lapsed')),
	held_until timestamptz NOT NULL DEFAULT now() + interval '15 minutes',
	idempotency_key uuid NOT NULL,
	created_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (tenant, id),
	FOREIGN KEY (tenant, type) REFERENCES ticket_types (tenant, id)
);
CREATE INDEX reservations_held_idx ON reservations (tenant, type, held_until) WHERE state = 'held';
