CREATE TABLE orders (
	tenant text,
	id int GENERATED ALWAYS AS IDENTITY,
	user_id text NOT NULL,
	type int NOT NULL,
	quantity int NOT NULL CHECK (quantity > 0),
	total bigint NOT NULL,					-- cents
	refunded bigint NOT NULL DEFAULT 0,
	state text NOT NULL DEFAULT 'created' CHECK (state IN ('created', 'reserved', 'cancelled', 'refunded')),
	idempotency_key uuid NOT NULL,
	created_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (tenant, id),
	FOREIGN KEY (tenant, type) REFERENCES ticket_types (tenant, id),
	CHECK (refunded BETWEEN 0 AND total)
);
