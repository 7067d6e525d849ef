CREATE TABLE venues (
	tenant text,
	id int GENERATED ALWAYS AS IDENTITY,
	name text NOT NULL,
	address text NOT NULL,
	capacity int NOT NULL CHECK (capacity > 0),
	email text NOT NULL,
	stripe_account text UNIQUE,				-- Stripe's ids are unique everywhere
	charges_enabled boolean NOT NULL DEFAULT false,
	told_at bigint NOT NULL DEFAULT 0,		-- by Stripe's clock, what is known of the account
	idempotency_key uuid NOT NULL,			-- of the request that made it
	created_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (tenant, id),
	CHECK (stripe_account IS NOT NULL OR NOT charges_enabled)
);
