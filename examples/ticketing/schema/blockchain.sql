-- A ticket that has been minted knows its token.
ALTER TABLE tickets ADD COLUMN token numeric(78);

-- Transactions of an account are mined in the order of their nonces, without a
-- gap.  Whoever takes one holds this row until the transaction that has it is
-- stored, signed: a nonce is taken with it or not at all.
CREATE TABLE nonces (
	chain bigint,
	account text,
	next bigint NOT NULL,
	PRIMARY KEY (chain, account)
);

-- Each transaction that mints a ticket, stored before it is sent.
CREATE TABLE mints (
	tenant text,
	id int GENERATED ALWAYS AS IDENTITY,
	ticket int NOT NULL,
	key uuid NOT NULL,				-- derived from the ticket, and so is the token
	token numeric(78) NOT NULL,
	wallet text NOT NULL,			-- whose token it will be
	chain bigint NOT NULL,
	account text NOT NULL,
	nonce bigint NOT NULL,
	hash text NOT NULL,
	signed text NOT NULL,			-- the transaction itself, as it is sent, and sent again
	state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'confirmed', 'failed')),
	idempotency_key uuid NOT NULL,
	created_at timestamptz NOT NULL DEFAULT now(),
	checked_at timestamptz NOT NULL DEFAULT now(),
	settled_at timestamptz CHECK ((settled_at IS NULL) = (state = 'pending')),
	PRIMARY KEY (tenant, id),
	FOREIGN KEY (tenant, ticket) REFERENCES tickets (tenant, id),
	FOREIGN KEY (chain, account) REFERENCES nonces (chain, account),
	UNIQUE (chain, account, nonce)
);

-- A ticket has one transaction that is mined or may still be.
CREATE UNIQUE INDEX mints_once_idx ON mints (tenant, ticket) WHERE state <> 'failed';
CREATE INDEX mints_pending_idx ON mints (chain, account, nonce) WHERE state = 'pending';

-- Tickets that were sold with their token: without it the money goes back.
CREATE TABLE token_purchases (
	tenant text,
	ticket int,
	refunded boolean NOT NULL DEFAULT false,
	PRIMARY KEY (tenant, ticket),
	FOREIGN KEY (tenant, ticket) REFERENCES tickets (tenant, id)
);
