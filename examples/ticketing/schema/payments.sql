-- Payments are noted before the provider is called, so that its events find
-- them.  Their keys are derived from the request's, so that no request can pay
-- or refund twice.

CREATE TABLE payments (
	tenant text,
	id int GENERATED ALWAYS AS IDENTITY,
	user_id text NOT NULL,
	amount bigint NOT NULL CHECK (amount > 0),		-- cents
	state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'succeeded', 'failed')),
	failure jsonb,				-- what the provider said: status, code, detail
	fee bigint CHECK (fee BETWEEN 0 AND amount),
	promised bigint NOT NULL DEFAULT 0,	-- of refunds that were made or are under way
	refunded bigint NOT NULL DEFAULT 0,	-- what the provider has paid back, also without being asked by us
	provider_key uuid NOT NULL,
	provider_id text,
	idempotency_key uuid NOT NULL,
	created_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (tenant, id),
	UNIQUE (tenant, provider_key),
	UNIQUE (tenant, provider_id),
	CHECK (promised BETWEEN 0 AND amount),
	CHECK (refunded BETWEEN 0 AND amount)
);

CREATE TABLE refunds (
	tenant text,
	id int GENERATED ALWAYS AS IDENTITY,
	payment int NOT NULL,
	amount bigint NOT NULL CHECK (amount > 0),
	state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'succeeded', 'failed')),
	failure jsonb,
	provider_key uuid NOT NULL,
	provider_id text,
	idempotency_key uuid NOT NULL,
	created_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (tenant, id),
	UNIQUE (tenant, provider_key),
	UNIQUE (tenant, provider_id),
	FOREIGN KEY (tenant, payment) REFERENCES payments (tenant, id)
);
