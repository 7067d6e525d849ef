-- What all services use: who is billed for what, what can be sold, where the
-- money is, and what happened.  Every key begins with the tenant.

CREATE TABLE usage (
	tenant text,
	user_id text,
	requests bigint NOT NULL,
	PRIMARY KEY (tenant, user_id)
);

-- What can be sold.  The check is what makes overselling impossible.
CREATE TABLE ticket_types (
	tenant text,
	id int GENERATED ALWAYS AS IDENTITY,
	name text NOT NULL,
	price bigint NOT NULL CHECK (price >= 0),		-- cents
	capacity int NOT NULL,
	available int NOT NULL CHECK (available BETWEEN 0 AND capacity),
	PRIMARY KEY (tenant, id)
);

-- Each transfer is two entries that add up to nothing.
CREATE TABLE ledger (
	tenant text,
	transfer uuid,
	account text,
	amount bigint NOT NULL,		-- cents
	reference text NOT NULL,
	created_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (tenant, transfer, account)
);

CREATE FUNCTION ledger_balances() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF (SELECT sum(amount) FROM ticketing.ledger WHERE tenant = NEW.tenant AND transfer = NEW.transfer) <> 0 THEN
		RAISE 'transfer % does not balance', NEW.transfer USING ERRCODE = 'check_violation';
	END IF;
	RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER ledger_balances AFTER INSERT OR UPDATE ON ledger
	DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ledger_balances();

-- What happened, for other services to read: in order for each thing, and with
-- a key that is the same whoever derives it.
CREATE TABLE events (
	tenant text,
	aggregate text,			-- such as order:7
	sequence bigint,
	key uuid NOT NULL,
	type text NOT NULL,
	payload jsonb NOT NULL,
	idempotency_key text,	-- of the request that caused it
	created_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (tenant, aggregate, sequence),
	UNIQUE (tenant, key)
);
