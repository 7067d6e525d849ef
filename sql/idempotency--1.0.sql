/* sql/idempotency--1.0.sql */

-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION idempotency" to load this file. \quit

-- The order of the columns keeps those of fixed width in front.  Everything
-- is written by the functions below; the states of a row are drawn in
-- src/key.h.  There is no CHECK constraint: the server parses it anew for
-- each statement, which was measured to make an INSERT 15% slower.  The primary
-- key has what differs most right behind the tenant: a look into the index
-- compares column by column.
CREATE TABLE @extschema@.idempotency_keys (
	created_at pg_catalog.timestamptz NOT NULL,
	expires_at pg_catalog.timestamptz NOT NULL,
	lease_expires_at pg_catalog.timestamptz,
	completed_at pg_catalog.timestamptz,
	token pg_catalog.int8 NOT NULL,
	attempt pg_catalog.int4 NOT NULL,
	response_status pg_catalog.int4,
	tenant_id pg_catalog.text COLLATE pg_catalog."C" NOT NULL,
	scope pg_catalog.text COLLATE pg_catalog."C" NOT NULL,
	key pg_catalog.text COLLATE pg_catalog."C" NOT NULL,
	request_hash pg_catalog.bytea,
	request pg_catalog.jsonb,
	recovery_point pg_catalog.text,
	recovery_data pg_catalog.jsonb,
	response_headers pg_catalog.jsonb,
	response_body pg_catalog.text,
	response_bytes pg_catalog.bytea,
	CONSTRAINT idempotency_keys_pkey PRIMARY KEY (tenant_id, key, scope)
) WITH (fillfactor = 70); -- completing is a HOT update if the page has room

COMMENT ON TABLE @extschema@.idempotency_keys IS
'idempotency keys, one row per tenant, scope and key; written by the idempotency_ functions only';
COMMENT ON COLUMN @extschema@.idempotency_keys.created_at IS
'when the key was first claimed';
COMMENT ON COLUMN @extschema@.idempotency_keys.expires_at IS
'when the row stops counting; of a tombstone, when it may go';
COMMENT ON COLUMN @extschema@.idempotency_keys.lease_expires_at IS
'when the claim can be taken over; null unless in progress';
COMMENT ON COLUMN @extschema@.idempotency_keys.completed_at IS
'when the response was stored; null unless completed; of a tombstone, which has no response_status, when the key expired';
COMMENT ON COLUMN @extschema@.idempotency_keys.token IS
'of the latest claim: its time in microseconds since 1970, or the previous token plus one, whichever is greater';
COMMENT ON COLUMN @extschema@.idempotency_keys.attempt IS
'how many claims have been given this request';
COMMENT ON COLUMN @extschema@.idempotency_keys.response_status IS
'HTTP status of the response; null unless completed';
COMMENT ON COLUMN @extschema@.idempotency_keys.tenant_id IS
'whose key it is';
COMMENT ON COLUMN @extschema@.idempotency_keys.scope IS
'what the key is for, such as an operation';
COMMENT ON COLUMN @extschema@.idempotency_keys.key IS
'the key';
COMMENT ON COLUMN @extschema@.idempotency_keys.request_hash IS
'idempotency_request_hash of the first request; null if it was not given';
COMMENT ON COLUMN @extschema@.idempotency_keys.request IS
'the request itself, if the claim asked to keep it, until it is completed';
COMMENT ON COLUMN @extschema@.idempotency_keys.recovery_point IS
'how far the work had come at the last checkpoint';
COMMENT ON COLUMN @extschema@.idempotency_keys.recovery_data IS
'what that checkpoint brought along';
COMMENT ON COLUMN @extschema@.idempotency_keys.response_headers IS
'headers of the response, without those that are redacted';
COMMENT ON COLUMN @extschema@.idempotency_keys.response_body IS
'body of the response, if it is text';
COMMENT ON COLUMN @extschema@.idempotency_keys.response_bytes IS
'body of the response, if it is bytes';
COMMENT ON INDEX @extschema@.idempotency_keys_pkey IS
'decides who is first to claim a key';

CREATE INDEX idempotency_keys_expires_at_idx
	ON @extschema@.idempotency_keys (expires_at);
COMMENT ON INDEX @extschema@.idempotency_keys_expires_at_idx IS
'finds what has expired';

-- Abandoned claims are searched among the unfinished ones that kept their
-- request.  No column of this index changes while a claim that kept none is
-- completed.
CREATE INDEX idempotency_keys_kept_request_idx
	ON @extschema@.idempotency_keys (created_at) WHERE request IS NOT NULL;
COMMENT ON INDEX @extschema@.idempotency_keys_kept_request_idx IS
'finds unfinished claims that kept their request';

REVOKE ALL ON TABLE @extschema@.idempotency_keys FROM PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('@extschema@.idempotency_keys', '');

CREATE TYPE @extschema@.idempotency_response AS (
	status pg_catalog.int4,
	headers pg_catalog.jsonb,
	body pg_catalog.text
);
COMMENT ON TYPE @extschema@.idempotency_response IS
'what a handler of idempotency_execute may return: HTTP status (null means 200), headers, body';
COMMENT ON COLUMN @extschema@.idempotency_response.status IS
'HTTP status; null means 200';
COMMENT ON COLUMN @extschema@.idempotency_response.headers IS
'an object, or an array of objects';
COMMENT ON COLUMN @extschema@.idempotency_response.body IS
'body of the response';

CREATE FUNCTION @extschema@.idempotency_claim(
	tenant_id pg_catalog.text,
	key pg_catalog.text,
	request pg_catalog.jsonb DEFAULT NULL,
	scope pg_catalog.text DEFAULT '',
	lease pg_catalog.interval DEFAULT NULL,
	ttl pg_catalog.interval DEFAULT NULL,
	wait pg_catalog.interval DEFAULT NULL,
	keep_request pg_catalog.bool DEFAULT NULL,
	OUT outcome pg_catalog.text,
	OUT token pg_catalog.int8,
	OUT attempt pg_catalog.int4,
	OUT recovery_point pg_catalog.text,
	OUT recovery_data pg_catalog.jsonb,
	OUT response_status pg_catalog.int4,
	OUT response_headers pg_catalog.jsonb,
	OUT response_body pg_catalog.text,
	OUT response_bytes pg_catalog.bytea,
	OUT retry_after pg_catalog.int4,
	OUT created_at pg_catalog.timestamptz)
AS 'MODULE_PATHNAME', 'idempotency_claim'
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE;
REVOKE ALL ON FUNCTION @extschema@.idempotency_claim FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.idempotency_claim IS
'Claim a key, or learn what became of it.
Arguments:
  tenant_id: whose key it is; up to 255 bytes
  key: the client''s name for the request; up to 255 characters
  request: what identifies the request; compared by value with that of the first claim, unless either is null
  scope: what the key is for, such as an operation; up to 255 bytes
  lease: how long the claim is protected once it is committed, at most ttl; null for idempotency.lease
  ttl: how long the key is kept, from now; null for idempotency.success_ttl
  wait: how long to wait for another holder to finish; null for idempotency.wait
  keep_request: whether to store the request for idempotency_claim_abandoned; null for idempotency.keep_request
Outcomes:
  claimed: the key was free; do the work and complete
  resumed: the same request was released or its lease has lapsed; do the work from the recovery point and complete
  replay: the same request is completed; send the stored response
  in_progress: somebody else holds the key; answer 409
  mismatch: the key was made for another request; answer 422
  gone: the key has expired and has a tombstone; answer 410
Result:
  outcome: one of the outcomes
  token: of the claim, for the calls that follow; claimed and resumed only
  attempt: how many claims have been given this request, this one included; claimed and resumed only
  recovery_point, recovery_data: of the last checkpoint; resumed only
  response_status: of the stored response, or 409, 422 or 410
  response_headers, response_body, response_bytes: of the stored response; replay only
  retry_after: in how many seconds to ask again; in_progress only
  created_at: when the key was first claimed
Errors: IK001, IK002 (key), IK003 (tenant, scope), 22023 (durations), 25006, 42501.';

CREATE FUNCTION @extschema@.idempotency_complete(
	tenant_id pg_catalog.text,
	key pg_catalog.text,
	token pg_catalog.int8,
	response_status pg_catalog.int4 DEFAULT 200,
	response_body pg_catalog.text DEFAULT NULL,
	response_headers pg_catalog.jsonb DEFAULT NULL,
	scope pg_catalog.text DEFAULT '',
	ttl pg_catalog.interval DEFAULT NULL)
RETURNS pg_catalog.text
AS 'MODULE_PATHNAME', 'idempotency_complete_text'
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE;
REVOKE ALL ON FUNCTION @extschema@.idempotency_complete(
	pg_catalog.text, pg_catalog.text, pg_catalog.int8, pg_catalog.int4,
	pg_catalog.text, pg_catalog.jsonb, pg_catalog.text, pg_catalog.interval)
FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.idempotency_complete(
	pg_catalog.text, pg_catalog.text, pg_catalog.int8, pg_catalog.int4,
	pg_catalog.text, pg_catalog.jsonb, pg_catalog.text, pg_catalog.interval) IS
'Store the response of a claim, to be replayed.
Repeating the call with the same response changes nothing; with another it is refused.
Arguments:
  tenant_id, key, scope, token: of the claim
  response_status: 100 to 599
  response_body: replayed byte for byte
  response_headers: an object or an array of objects; stored without those in idempotency.redact_headers
  ttl: how long to keep the response from now on; null for what the claim said below status 400, for idempotency.client_error_ttl from 400 on
Outcomes:
  completed: the response is stored
  released: the status is in idempotency.retryable_statuses: nothing is stored, and the next claim of the same request is resumed
Errors: IK001 to IK003, IK004 (outdated token, or another response), IK005 (no such key), 22023, 25006, 42501.';

CREATE FUNCTION @extschema@.idempotency_complete(
	tenant_id pg_catalog.text,
	key pg_catalog.text,
	token pg_catalog.int8,
	response_status pg_catalog.int4,
	response_body pg_catalog.jsonb,
	response_headers pg_catalog.jsonb DEFAULT NULL,
	scope pg_catalog.text DEFAULT '',
	ttl pg_catalog.interval DEFAULT NULL)
RETURNS pg_catalog.text
AS 'MODULE_PATHNAME', 'idempotency_complete_jsonb'
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE;
REVOKE ALL ON FUNCTION @extschema@.idempotency_complete(
	pg_catalog.text, pg_catalog.text, pg_catalog.int8, pg_catalog.int4,
	pg_catalog.jsonb, pg_catalog.jsonb, pg_catalog.text, pg_catalog.interval)
FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.idempotency_complete(
	pg_catalog.text, pg_catalog.text, pg_catalog.int8, pg_catalog.int4,
	pg_catalog.jsonb, pg_catalog.jsonb, pg_catalog.text, pg_catalog.interval) IS
'Store the response of a claim, with a body given as jsonb and kept as its text. Otherwise the same as with a body of text.';

CREATE FUNCTION @extschema@.idempotency_complete(
	tenant_id pg_catalog.text,
	key pg_catalog.text,
	token pg_catalog.int8,
	response_status pg_catalog.int4,
	response_body pg_catalog.bytea,
	response_headers pg_catalog.jsonb DEFAULT NULL,
	scope pg_catalog.text DEFAULT '',
	ttl pg_catalog.interval DEFAULT NULL)
RETURNS pg_catalog.text
AS 'MODULE_PATHNAME', 'idempotency_complete_bytea'
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE;
REVOKE ALL ON FUNCTION @extschema@.idempotency_complete(
	pg_catalog.text, pg_catalog.text, pg_catalog.int8, pg_catalog.int4,
	pg_catalog.bytea, pg_catalog.jsonb, pg_catalog.text, pg_catalog.interval)
FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.idempotency_complete(
	pg_catalog.text, pg_catalog.text, pg_catalog.int8, pg_catalog.int4,
	pg_catalog.bytea, pg_catalog.jsonb, pg_catalog.text, pg_catalog.interval) IS
'Store the response of a claim, with a body of any bytes, which is replayed in response_bytes. Otherwise the same as with a body of text.';

CREATE FUNCTION @extschema@.idempotency_release(
	tenant_id pg_catalog.text,
	key pg_catalog.text,
	token pg_catalog.int8,
	scope pg_catalog.text DEFAULT '')
RETURNS pg_catalog.void
AS 'MODULE_PATHNAME', 'idempotency_release'
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE;
REVOKE ALL ON FUNCTION @extschema@.idempotency_release FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.idempotency_release IS
'Give a key back without a response.
The next claim of the same request is resumed at the last checkpoint.
Arguments:
  tenant_id, key, scope, token: of the claim
Errors: IK001 to IK003, IK004 (outdated token), IK005 (no such key), 25006, 42501.';

CREATE FUNCTION @extschema@.idempotency_checkpoint(
	tenant_id pg_catalog.text,
	key pg_catalog.text,
	token pg_catalog.int8,
	recovery_point pg_catalog.text,
	recovery_data pg_catalog.jsonb DEFAULT NULL,
	scope pg_catalog.text DEFAULT '',
	lease pg_catalog.interval DEFAULT NULL)
RETURNS pg_catalog.timestamptz
AS 'MODULE_PATHNAME', 'idempotency_checkpoint'
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE;
REVOKE ALL ON FUNCTION @extschema@.idempotency_checkpoint FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.idempotency_checkpoint IS
'Record how far the work has come, and extend the lease.
Returns the new end of the lease.
Arguments:
  tenant_id, key, scope, token: of the claim
  recovery_point, recovery_data: what a resumed claim gets back; they replace those of the checkpoint before
  lease: how long from now; null for idempotency.lease
Errors: IK001 to IK003, IK004 (outdated token), IK005 (no such key), 22023, 25006, 42501.';

CREATE FUNCTION @extschema@.idempotency_heartbeat(
	tenant_id pg_catalog.text,
	key pg_catalog.text,
	token pg_catalog.int8,
	scope pg_catalog.text DEFAULT '',
	lease pg_catalog.interval DEFAULT NULL)
RETURNS pg_catalog.timestamptz
AS 'MODULE_PATHNAME', 'idempotency_heartbeat'
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE;
REVOKE ALL ON FUNCTION @extschema@.idempotency_heartbeat FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.idempotency_heartbeat IS
'Extend the lease of a claim.
Returns the new end of the lease.
Arguments:
  tenant_id, key, scope, token: of the claim
  lease: how long from now; null for idempotency.lease
Errors: IK001 to IK003, IK004 (outdated token), IK005 (no such key), 22023, 25006, 42501.';

CREATE FUNCTION @extschema@.idempotency_lookup(
	tenant_id pg_catalog.text,
	key pg_catalog.text,
	scope pg_catalog.text DEFAULT '')
RETURNS TABLE (
	state pg_catalog.text,
	attempt pg_catalog.int4,
	recovery_point pg_catalog.text,
	recovery_data pg_catalog.jsonb,
	response_status pg_catalog.int4,
	response_headers pg_catalog.jsonb,
	response_body pg_catalog.text,
	response_bytes pg_catalog.bytea,
	request_hash pg_catalog.bytea,
	created_at pg_catalog.timestamptz,
	lease_expires_at pg_catalog.timestamptz,
	completed_at pg_catalog.timestamptz,
	expires_at pg_catalog.timestamptz)
AS 'MODULE_PATHNAME', 'idempotency_lookup'
LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL UNSAFE ROWS 1;
REVOKE ALL ON FUNCTION @extschema@.idempotency_lookup FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.idempotency_lookup IS
'Look at a key without claiming it; also on a standby.
Returns one row, or none if there is no such key or it has expired.
Arguments:
  tenant_id, key, scope: of the key
Result:
  state: in_progress, released or completed
  attempt: how many claims have been given this request
  recovery_point, recovery_data: of the last checkpoint
  response_status, response_headers, response_body, response_bytes: of the stored response; completed only
  request_hash: idempotency_request_hash of the request; null if none was passed
  created_at: when the key was first claimed
  lease_expires_at: when the next claim takes the key over; in_progress only
  completed_at: when the response was stored; completed only
  expires_at: when the key stops counting
Errors: IK001 to IK003, 42501.';

CREATE FUNCTION @extschema@.idempotency_execute(
	tenant_id pg_catalog.text,
	key pg_catalog.text,
	request pg_catalog.jsonb,
	handler pg_catalog.regprocedure,
	scope pg_catalog.text DEFAULT '',
	ttl pg_catalog.interval DEFAULT NULL,
	wait pg_catalog.interval DEFAULT NULL,
	OUT outcome pg_catalog.text,
	OUT response_status pg_catalog.int4,
	OUT response_headers pg_catalog.jsonb,
	OUT response_body pg_catalog.text,
	OUT response_bytes pg_catalog.bytea,
	OUT retry_after pg_catalog.int4)
AS 'MODULE_PATHNAME', 'idempotency_execute'
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE;
REVOKE ALL ON FUNCTION @extschema@.idempotency_execute FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.idempotency_execute IS
'Claim a key, run a handler and complete, in one call and in the caller''s transaction.
A handler that raises aborts the transaction, and the key is free again.
Arguments:
  tenant_id, key, request, scope, ttl, wait: as for idempotency_claim
  handler: a function (jsonb) that returns jsonb (status 200) or idempotency_response, run with the caller''s rights; one that is STRICT is not called for a null request
Outcomes:
  executed: the handler was run; the response is its own
  replay, in_progress, mismatch, gone: as for idempotency_claim
Result:
  outcome: one of the outcomes
  response_status, response_headers, response_body, response_bytes: of the handler, or stored, or 409, 422 or 410
  retry_after: in how many seconds to ask again; in_progress only
Errors: IK001 to IK003, 22023 (handler, durations), 25006, 42501 (tenant, handler), IK004 and IK005 if the handler itself completes or forgets the key, and the handler''s own.';

CREATE FUNCTION @extschema@.idempotency_claim_abandoned(
	max_rows pg_catalog.int4 DEFAULT 100,
	tenant_id pg_catalog.text DEFAULT NULL,
	scope pg_catalog.text DEFAULT NULL,
	lease pg_catalog.interval DEFAULT NULL)
RETURNS TABLE (
	tenant_id pg_catalog.text,
	scope pg_catalog.text,
	key pg_catalog.text,
	token pg_catalog.int8,
	attempt pg_catalog.int4,
	request pg_catalog.jsonb,
	recovery_point pg_catalog.text,
	recovery_data pg_catalog.jsonb)
AS 'MODULE_PATHNAME', 'idempotency_claim_abandoned'
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE;
REVOKE ALL ON FUNCTION @extschema@.idempotency_claim_abandoned FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.idempotency_claim_abandoned IS
'Take over claims whose lease has lapsed and whose request was kept, the oldest first, so that a worker can finish them.
Those that another session has locked are skipped.
Arguments:
  max_rows: how many at most, at least 1
  tenant_id, scope: null for all
  lease: of the new claims, at most idempotency.success_ttl; null for idempotency.lease
Result:
  tenant_id, scope, key: which key it is
  token: of the new claim
  attempt: how many claims have been given this request, this one included
  request: as it was kept
  recovery_point, recovery_data: of the last checkpoint
Errors: IK003 (tenant, scope), 22023 (max_rows, lease), 25006, 42501.';

CREATE FUNCTION @extschema@.idempotency_forget(
	tenant_id pg_catalog.text,
	key pg_catalog.text,
	scope pg_catalog.text DEFAULT '')
RETURNS pg_catalog.bool
AS 'MODULE_PATHNAME', 'idempotency_forget'
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE;
REVOKE ALL ON FUNCTION @extschema@.idempotency_forget FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.idempotency_forget IS
'Delete a key, in whatever state it is: the same request would be done again.
Returns whether there was such a key.
Arguments:
  tenant_id, key, scope: of the key
Errors: IK001 to IK003, 25006, 42501.';

CREATE FUNCTION @extschema@.idempotency_forget_tenant(
	tenant_id pg_catalog.text)
RETURNS pg_catalog.int8
AS 'MODULE_PATHNAME', 'idempotency_forget_tenant'
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE;
REVOKE ALL ON FUNCTION @extschema@.idempotency_forget_tenant FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.idempotency_forget_tenant IS
'Delete all keys and webhook events of a tenant, in whatever state they are.
Returns how many keys and events they were.
Waits for open transactions that have changed one of them or are at work in one of the tenant''s streams; calls for them wait in turn until this transaction ends. (If more than 8 times max_locks_per_transaction, 512, of its streams have something to hand out, all who record or fetch events of any tenant wait.)
Arguments:
  tenant_id: whose
Errors: IK003, 25006, 40001 (above READ COMMITTED, if one of them was changed meanwhile), 42501.';

CREATE FUNCTION @extschema@.idempotency_sweep(
	max_rows pg_catalog.int4 DEFAULT 10000,
	OUT keys pg_catalog.int8,
	OUT events pg_catalog.int8)
AS 'MODULE_PATHNAME', 'idempotency_sweep'
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE;
REVOKE ALL ON FUNCTION @extschema@.idempotency_sweep FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.idempotency_sweep IS
'Delete expired keys and finished webhook events past their time, those that expired first.
Those that another transaction holds are skipped. Where idempotency.tombstone_ttl is set, keys are emptied first, and deleted when that time is over, too.
Arguments:
  max_rows: how many keys and how many events at most, at least 1
Result:
  keys: how many keys were emptied or deleted
  events: how many events were deleted
Errors: 22023 (max_rows), 25006, 40001 (above READ COMMITTED, if one of them was changed in that moment), 42501.';

CREATE FUNCTION @extschema@.idempotency_request_hash(
	request pg_catalog.jsonb)
RETURNS pg_catalog.bytea
AS 'MODULE_PATHNAME', 'idempotency_request_hash'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION @extschema@.idempotency_request_hash IS
'The digest that requests are compared by: SHA-256 over the value of a document.
The order of members, white space and the spelling of numbers make no difference. It never changes between versions. Returns 32 bytes.
Arguments:
  request: the document';

CREATE FUNCTION @extschema@.idempotency_derive_key(
	namespace pg_catalog.uuid,
	VARIADIC parts pg_catalog.text[])
RETURNS pg_catalog.uuid
AS 'MODULE_PATHNAME', 'idempotency_derive_key'
LANGUAGE C IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE;
COMMENT ON FUNCTION @extschema@.idempotency_derive_key IS
'A key that follows from what the request is about: the version-5 UUID of the parts joined by colons.
A colon or backslash inside a part is escaped by a backslash.
Arguments:
  namespace: a UUID of the application''s own
  parts: one or more texts
Errors: 22023 (a null, or no part).';

-- The webhook inbox.  The states of a row are drawn in src/inbox.h.
CREATE TABLE @extschema@.webhook_inbox (
	received_at pg_catalog.timestamptz NOT NULL,
	due_at pg_catalog.timestamptz,
	finished_at pg_catalog.timestamptz,
	expires_at pg_catalog.timestamptz,
	token pg_catalog.int8 NOT NULL,
	sequence pg_catalog.int8,
	attempt pg_catalog.int4 NOT NULL,
	state pg_catalog.text COLLATE pg_catalog."C" NOT NULL,
	tenant_id pg_catalog.text COLLATE pg_catalog."C" NOT NULL,
	source pg_catalog.text COLLATE pg_catalog."C" NOT NULL,
	event_id pg_catalog.text COLLATE pg_catalog."C" NOT NULL,
	stream pg_catalog.text COLLATE pg_catalog."C",
	event_type pg_catalog.text,
	ttl pg_catalog.interval,
	payload pg_catalog.jsonb,
	headers pg_catalog.jsonb,
	last_error pg_catalog.text,
	CONSTRAINT webhook_inbox_pkey PRIMARY KEY (tenant_id, event_id, source)
);

-- What makes a row too long is compressed by lz4, if the server was built with
-- it.  The server's own method takes longer than all the rest of a call.
DO $$
BEGIN
	IF EXISTS (SELECT FROM pg_catalog.pg_settings
		WHERE name OPERATOR(pg_catalog.=) 'default_toast_compression'
		AND enumvals OPERATOR(pg_catalog.@>) '{lz4}')
	THEN
		ALTER TABLE @extschema@.idempotency_keys
			ALTER request SET COMPRESSION lz4,
			ALTER recovery_data SET COMPRESSION lz4,
			ALTER response_headers SET COMPRESSION lz4,
			ALTER response_body SET COMPRESSION lz4,
			ALTER response_bytes SET COMPRESSION lz4;
		ALTER TABLE @extschema@.webhook_inbox
			ALTER payload SET COMPRESSION lz4,
			ALTER headers SET COMPRESSION lz4;
	END IF;
END $$;

COMMENT ON TABLE @extschema@.webhook_inbox IS
'webhook events, one row per tenant, source and event id; written by the webhook_inbox_ functions only';
COMMENT ON COLUMN @extschema@.webhook_inbox.received_at IS
'when the event was recorded; the events of a batch follow each other by a microsecond';
COMMENT ON COLUMN @extschema@.webhook_inbox.due_at IS
'when a fetch has to look at the event: to hand it out, because its lease lapses, or to pass on its turn in the stream; null if there is no such time';
COMMENT ON COLUMN @extschema@.webhook_inbox.finished_at IS
'when it was processed or declared dead';
COMMENT ON COLUMN @extschema@.webhook_inbox.expires_at IS
'when the row stops counting, once its turn in the stream was passed on; null unless finished';
COMMENT ON COLUMN @extschema@.webhook_inbox.token IS
'of the latest fetch: its time in microseconds since 1970, or the previous token plus one, whichever is greater; 0 before the first, and one more after each requeue';
COMMENT ON COLUMN @extschema@.webhook_inbox.sequence IS
'place in the stream, as the sender counts';
COMMENT ON COLUMN @extschema@.webhook_inbox.attempt IS
'how often the event was handed out since it was recorded or requeued';
COMMENT ON COLUMN @extschema@.webhook_inbox.state IS
'pending, processing, processed or dead';
COMMENT ON COLUMN @extschema@.webhook_inbox.tenant_id IS
'whose event it is';
COMMENT ON COLUMN @extschema@.webhook_inbox.source IS
'who sent it';
COMMENT ON COLUMN @extschema@.webhook_inbox.event_id IS
'the sender''s id of the event';
COMMENT ON COLUMN @extschema@.webhook_inbox.stream IS
'what the event is about, if its order among others matters';
COMMENT ON COLUMN @extschema@.webhook_inbox.event_type IS
'the sender''s name for what happened';
COMMENT ON COLUMN @extschema@.webhook_inbox.ttl IS
'how long the event is kept once finished; null for idempotency.webhook_ttl';
COMMENT ON COLUMN @extschema@.webhook_inbox.payload IS
'the event itself, as first received';
COMMENT ON COLUMN @extschema@.webhook_inbox.headers IS
'what came with it';
COMMENT ON COLUMN @extschema@.webhook_inbox.last_error IS
'why the latest attempt that failed did so';
COMMENT ON INDEX @extschema@.webhook_inbox_pkey IS
'decides who is first to record an event';

-- What is due: of a source of a tenant, of a tenant, of a source and of all, what
-- has been due longest first.  A fetch reads nothing of others.  An event is in
-- these indexes only while a fetch may have to look at it: neither what waits
-- for its turn nor what is finished, and has passed on its turn, slows one down.
CREATE INDEX webhook_inbox_tenant_source_due_idx
	ON @extschema@.webhook_inbox
	(source COLLATE pg_catalog."POSIX", tenant_id, due_at)
	WHERE due_at IS NOT NULL; -- see DUE_OF_BOTH in src/statements.c
COMMENT ON INDEX @extschema@.webhook_inbox_tenant_source_due_idx IS
'finds what is due of a source of a tenant';
CREATE INDEX webhook_inbox_tenant_due_idx
	ON @extschema@.webhook_inbox (tenant_id, due_at) WHERE due_at IS NOT NULL;
COMMENT ON INDEX @extschema@.webhook_inbox_tenant_due_idx IS
'finds what is due of a tenant';
CREATE INDEX webhook_inbox_source_due_idx
	ON @extschema@.webhook_inbox (source, due_at) WHERE due_at IS NOT NULL;
COMMENT ON INDEX @extschema@.webhook_inbox_source_due_idx IS
'finds what is due of a source';
CREATE INDEX webhook_inbox_due_idx
	ON @extschema@.webhook_inbox (due_at) WHERE due_at IS NOT NULL;
COMMENT ON INDEX @extschema@.webhook_inbox_due_idx IS
'finds what is due';

CREATE INDEX webhook_inbox_stream_idx
	ON @extschema@.webhook_inbox
	(tenant_id, source, stream, state, sequence, received_at, event_id)
	WHERE stream IS NOT NULL;
COMMENT ON INDEX @extschema@.webhook_inbox_stream_idx IS
'finds what is in flight, what is next and what was last in a stream';

CREATE INDEX webhook_inbox_expires_at_idx
	ON @extschema@.webhook_inbox (expires_at) WHERE expires_at IS NOT NULL;
COMMENT ON INDEX @extschema@.webhook_inbox_expires_at_idx IS
'finds what has expired';
CREATE INDEX webhook_inbox_dead_idx
	ON @extschema@.webhook_inbox (finished_at) WHERE state OPERATOR(pg_catalog.=) 'dead';
COMMENT ON INDEX @extschema@.webhook_inbox_dead_idx IS
'finds dead letters';

REVOKE ALL ON TABLE @extschema@.webhook_inbox FROM PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('@extschema@.webhook_inbox', '');

CREATE TYPE @extschema@.webhook_event AS (
	tenant_id pg_catalog.text,
	source pg_catalog.text,
	event_id pg_catalog.text,
	token pg_catalog.int8,
	attempt pg_catalog.int4,
	event_type pg_catalog.text,
	payload pg_catalog.jsonb,
	headers pg_catalog.jsonb,
	stream pg_catalog.text,
	sequence pg_catalog.int8,
	late pg_catalog.bool,
	received_at pg_catalog.timestamptz
);
COMMENT ON TYPE @extschema@.webhook_event IS
'an event that was handed out: what webhook_inbox_fetch returns and a handler of webhook_inbox_process is given';
COMMENT ON COLUMN @extschema@.webhook_event.tenant_id IS
'whose event it is';
COMMENT ON COLUMN @extschema@.webhook_event.source IS
'who sent it';
COMMENT ON COLUMN @extschema@.webhook_event.event_id IS
'the sender''s id of the event';
COMMENT ON COLUMN @extschema@.webhook_event.token IS
'of this attempt, for webhook_inbox_complete and webhook_inbox_fail';
COMMENT ON COLUMN @extschema@.webhook_event.attempt IS
'how often the event was handed out since it was recorded or requeued, this time included';
COMMENT ON COLUMN @extschema@.webhook_event.event_type IS
'the sender''s name for what happened';
COMMENT ON COLUMN @extschema@.webhook_event.payload IS
'the event itself, as first received';
COMMENT ON COLUMN @extschema@.webhook_event.headers IS
'what came with it';
COMMENT ON COLUMN @extschema@.webhook_event.stream IS
'what the event is about, if its order among others matters';
COMMENT ON COLUMN @extschema@.webhook_event.sequence IS
'place in the stream, as the sender counts';
COMMENT ON COLUMN @extschema@.webhook_event.late IS
'whether a higher sequence of the stream was processed before';
COMMENT ON COLUMN @extschema@.webhook_event.received_at IS
'when the event was recorded';

CREATE FUNCTION @extschema@.webhook_inbox_record(
	tenant_id pg_catalog.text,
	source pg_catalog.text,
	event_id pg_catalog.text,
	payload pg_catalog.jsonb DEFAULT NULL,
	event_type pg_catalog.text DEFAULT NULL,
	headers pg_catalog.jsonb DEFAULT NULL,
	stream pg_catalog.text DEFAULT NULL,
	sequence pg_catalog.int8 DEFAULT NULL,
	processed pg_catalog.bool DEFAULT false,
	ttl pg_catalog.interval DEFAULT NULL,
	OUT outcome pg_catalog.text,
	OUT state pg_catalog.text,
	OUT received_at pg_catalog.timestamptz,
	OUT payload_changed pg_catalog.bool)
AS 'MODULE_PATHNAME', 'webhook_inbox_record'
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE;
REVOKE ALL ON FUNCTION @extschema@.webhook_inbox_record FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.webhook_inbox_record IS
'Record an event, once.
Waits for another open transaction that is recording the same one. A duplicate changes nothing.
Arguments:
  tenant_id: whose event it is; up to 255 bytes
  source: who sent it; up to 255 bytes
  event_id: the sender''s id of it; up to 255 bytes
  payload: the event itself, kept for the worker
  event_type: the sender''s name for what happened, kept for the worker
  headers: what came with it, kept for the worker
  stream: up to 255 bytes; events of one stream are handed out one at a time, by sequence and arrival; null for none
  sequence: the sender''s count within the stream
  processed: true to apply the effects in this transaction instead of in a worker
  ttl: how long the event is kept once it is processed or dead; null for idempotency.webhook_ttl
Outcomes:
  recorded: it was new
  duplicate: it had been recorded before
Result:
  outcome: one of the outcomes
  state: pending, processing, processed or dead
  received_at: when it was recorded
  payload_changed: whether a duplicate''s payload is another than the stored one, if both have one
Errors: IK003 (tenant, source, event id, stream), 22023 (ttl), 25006, 40001 (above READ COMMITTED, if it was recorded meanwhile by a batch or by a transaction of hundreds of events), 42501.';

CREATE FUNCTION @extschema@.webhook_inbox_record_batch(
	tenant_id pg_catalog.text,
	source pg_catalog.text,
	events pg_catalog.jsonb)
RETURNS TABLE (
	event_id pg_catalog.text,
	outcome pg_catalog.text,
	state pg_catalog.text,
	payload_changed pg_catalog.bool)
AS 'MODULE_PATHNAME', 'webhook_inbox_record_batch'
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE;
REVOKE ALL ON FUNCTION @extschema@.webhook_inbox_record_batch FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.webhook_inbox_record_batch IS
'Record many events of one source, each once.
Returns a row for each element, in their order. Of two elements with the same event_id the second is a duplicate. An element that is not acceptable refuses all of them; the error names it by its subscript, counted from 0.
Arguments:
  tenant_id, source: as for webhook_inbox_record
  events: an array of objects whose members are named like the arguments of webhook_inbox_record from event_id on; ttl as an interval''s text or in seconds, sequence as a number or a text of digits
Result:
  event_id: of the element
  outcome, state, payload_changed: as of webhook_inbox_record
Errors: IK003, 22023 (events), 25006, 40001 (above READ COMMITTED, if a duplicate was recorded meanwhile), 42501.';

CREATE FUNCTION @extschema@.webhook_inbox_fetch(
	max_events pg_catalog.int4 DEFAULT 1,
	source pg_catalog.text DEFAULT NULL,
	tenant_id pg_catalog.text DEFAULT NULL,
	lease pg_catalog.interval DEFAULT NULL)
RETURNS SETOF @extschema@.webhook_event
AS 'MODULE_PATHNAME', 'webhook_inbox_fetch'
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE;
REVOKE ALL ON FUNCTION @extschema@.webhook_inbox_fetch FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.webhook_inbox_fetch IS
'Hand out events that are due, what has been due longest first, each to one worker.
Returns the events in the order they were received, each with the token that webhook_inbox_complete and webhook_inbox_fail want. Those that another transaction has locked are skipped. Of a stream the first unfinished event is handed out, and no other until it is processed or dead. A lapsed lease counts as an attempt; after idempotency.webhook_max_attempts the event is dead.
Arguments:
  max_events: how many at most, at least 1
  source, tenant_id: null for all
  lease: how long the worker may take before the event is handed out again; null for idempotency.webhook_lease
Errors: IK003 (source, tenant), 22023 (max_events, lease), 25006, 40001 (above READ COMMITTED, if another worker took the same in that moment), 42501.';

CREATE FUNCTION @extschema@.webhook_inbox_complete(
	tenant_id pg_catalog.text,
	source pg_catalog.text,
	event_id pg_catalog.text,
	token pg_catalog.int8)
RETURNS pg_catalog.void
AS 'MODULE_PATHNAME', 'webhook_inbox_complete'
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE;
REVOKE ALL ON FUNCTION @extschema@.webhook_inbox_complete FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.webhook_inbox_complete IS
'Mark an event as processed, in the transaction that has its effects.
Arguments:
  tenant_id, source, event_id, token: as fetched
Errors: IK003, IK004 (outdated token, or the event was completed or failed with it before), IK005 (no such event), 22023, 25006, 42501.';

CREATE FUNCTION @extschema@.webhook_inbox_fail(
	tenant_id pg_catalog.text,
	source pg_catalog.text,
	event_id pg_catalog.text,
	token pg_catalog.int8,
	error pg_catalog.text,
	retry_in pg_catalog.interval DEFAULT NULL)
RETURNS pg_catalog.text
AS 'MODULE_PATHNAME', 'webhook_inbox_fail'
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE;
REVOKE ALL ON FUNCTION @extschema@.webhook_inbox_fail FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.webhook_inbox_fail IS
'Give an event back after a failed attempt.
Arguments:
  tenant_id, source, event_id, token: as fetched
  error: kept as last_error; may be null
  retry_in: how long from now until the event is handed out again, unless it is dead; null for idempotency.webhook_backoff_base, doubled with each attempt up to idempotency.webhook_backoff_max, less a random part of up to a half
Outcomes:
  pending: it will be handed out again
  dead: that was the last of idempotency.webhook_max_attempts
Errors: IK003, IK004 (outdated token, or the event was completed or failed with it before), IK005 (no such event), 22023, 25006, 42501.';

CREATE FUNCTION @extschema@.webhook_inbox_requeue(
	tenant_id pg_catalog.text,
	source pg_catalog.text,
	event_id pg_catalog.text)
RETURNS pg_catalog.bool
AS 'MODULE_PATHNAME', 'webhook_inbox_requeue'
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE;
REVOKE ALL ON FUNCTION @extschema@.webhook_inbox_requeue FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.webhook_inbox_requeue IS
'Hand out again, from the first attempt, an event that is dead or processed, as long as it is kept.
Returns whether there was such an event.
Arguments:
  tenant_id, source, event_id: of the event
Errors: IK003, 25006, 42501.';

CREATE FUNCTION @extschema@.webhook_inbox_requeue_dead(
	tenant_id pg_catalog.text DEFAULT NULL,
	source pg_catalog.text DEFAULT NULL,
	max_rows pg_catalog.int4 DEFAULT NULL)
RETURNS pg_catalog.int8
AS 'MODULE_PATHNAME', 'webhook_inbox_requeue_dead'
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE;
REVOKE ALL ON FUNCTION @extschema@.webhook_inbox_requeue_dead FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.webhook_inbox_requeue_dead IS
'Hand out again, from the first attempt, events that are dead, those that died first.
Returns how many they were. Those that another transaction has locked are skipped.
Arguments:
  tenant_id, source: null for all
  max_rows: how many at most, at least 1; null for no limit
Errors: IK003 (tenant, source), 22023 (max_rows), 25006, 42501.';

CREATE PROCEDURE @extschema@.webhook_inbox_process(
	handler pg_catalog.regprocedure,
	source pg_catalog.text DEFAULT NULL,
	tenant_id pg_catalog.text DEFAULT NULL,
	max_events pg_catalog.int4 DEFAULT 100)
AS 'MODULE_PATHNAME', 'webhook_inbox_process'
LANGUAGE C;
REVOKE ALL ON PROCEDURE @extschema@.webhook_inbox_process FROM PUBLIC;
COMMENT ON PROCEDURE @extschema@.webhook_inbox_process IS
'Fetch events one by one, run a handler on each and complete it, until none is due or max_events are done.
Each event is fetched in one transaction, and processed and completed in another. An event whose handler raises is failed with the error''s message, and the others go on.
Arguments:
  handler: a function (webhook_event), run with the caller''s rights, whose result is not used
  source, tenant_id: null for all
  max_events: at least 1
Errors: IK003 (source, tenant), 22023 (handler, max_events), 2D000 (called inside a transaction block), 25006, 42501 (tenant, handler, or the role or its tenant changed on the way).';

-- Observability.
CREATE FUNCTION @extschema@.idempotency_stats(
	OUT claimed pg_catalog.int8,
	OUT resumed pg_catalog.int8,
	OUT replayed pg_catalog.int8,
	OUT in_progress pg_catalog.int8,
	OUT mismatch pg_catalog.int8,
	OUT gone pg_catalog.int8,
	OUT completed pg_catalog.int8,
	OUT released pg_catalog.int8,
	OUT claim_lost pg_catalog.int8,
	OUT recorded pg_catalog.int8,
	OUT duplicate pg_catalog.int8,
	OUT fetched pg_catalog.int8,
	OUT retried pg_catalog.int8,
	OUT dead pg_catalog.int8,
	OUT swept pg_catalog.int8,
	OUT stats_reset pg_catalog.timestamptz)
AS 'MODULE_PATHNAME', 'idempotency_stats'
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE;
REVOKE ALL ON FUNCTION @extschema@.idempotency_stats FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.idempotency_stats IS
'How often the functions have given each answer in this database since stats_reset; also in transactions that were rolled back.
Result:
  claimed, resumed, replayed, in_progress, mismatch, gone: claims with this outcome
  completed: keys that got a response
  released: keys that were given back without one
  claim_lost: calls with an outdated token, of keys and of events
  recorded: events that were new
  duplicate: events that had been recorded before
  fetched: events that were handed out
  retried: attempts at an event that failed, but were not the last
  dead: attempts at an event that failed and were the last
  swept: keys and events that a sweep has emptied or deleted
  stats_reset: the start of the server, or the last idempotency_stats_reset
Errors: 55000 (nothing is counted: before PostgreSQL 17 the library must be in shared_preload_libraries), 42501 (a role that is pinned to one tenant).';

CREATE VIEW @extschema@.idempotency_stats AS
SELECT * FROM @extschema@.idempotency_stats();
COMMENT ON VIEW @extschema@.idempotency_stats IS
'the counters that the function of this name returns';

CREATE FUNCTION @extschema@.idempotency_stats_reset()
RETURNS pg_catalog.void
AS 'MODULE_PATHNAME', 'idempotency_stats_reset'
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE;
REVOKE ALL ON FUNCTION @extschema@.idempotency_stats_reset FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.idempotency_stats_reset IS
'Set the counters of this database to zero.
Errors: as idempotency_stats.';

CREATE FUNCTION @extschema@.idempotency_activity()
RETURNS TABLE (
	tenant_id pg_catalog.text,
	scope pg_catalog.text,
	in_progress pg_catalog.int8,
	lapsed pg_catalog.int8,
	released pg_catalog.int8,
	completed pg_catalog.int8,
	oldest pg_catalog.timestamptz,
	source pg_catalog.text,
	backlog pg_catalog.int8,
	oldest_due pg_catalog.timestamptz,
	dead pg_catalog.int8)
AS 'MODULE_PATHNAME', 'idempotency_activity'
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE;
REVOKE ALL ON FUNCTION @extschema@.idempotency_activity FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.idempotency_activity IS
'What is in the tables now: a row for each tenant and scope with its keys, and a row for each tenant and source with its webhook events.
It reads both tables whole; for frequent questions there is idempotency_stats. A role that is pinned to one tenant sees its own only.
Result:
  tenant_id: whose keys or events
  scope: of the keys; null in a row of events
  in_progress: keys under a live lease
  lapsed: keys whose lease is over, so that a retry or a worker may take them over
  released: keys that were given back
  completed: keys with a response
  oldest: when the oldest of the keys that are not completed was first claimed
  source: of the events; null in a row of keys
  backlog: events that are not yet processed or dead
  oldest_due: since when the oldest of these waits for a worker
  dead: events that are dead
Errors: 42501.';

CREATE VIEW @extschema@.idempotency_activity AS
SELECT * FROM @extschema@.idempotency_activity();
COMMENT ON VIEW @extschema@.idempotency_activity IS
'what the function of this name returns';

-- Roles.  What is not listed here is the owner's alone, or PUBLIC's because it
-- touches no table: idempotency_request_hash and idempotency_derive_key.
CREATE VIEW @extschema@.idempotency_profiles AS
SELECT m.profile, 'EXECUTE' AS privilege, p.oid::pg_catalog.regprocedure AS routine,
	NULL::pg_catalog.regclass AS relation
FROM (VALUES
	('app', 'idempotency_claim'),
	('app', 'idempotency_complete'),
	('app', 'idempotency_release'),
	('app', 'idempotency_checkpoint'),
	('app', 'idempotency_heartbeat'),
	('app', 'idempotency_lookup'),
	('app', 'idempotency_execute'),
	('app', 'webhook_inbox_record'),
	('app', 'webhook_inbox_record_batch'),
	('worker', 'idempotency_claim_abandoned'),
	('worker', 'idempotency_complete'),
	('worker', 'idempotency_release'),
	('worker', 'idempotency_checkpoint'),
	('worker', 'idempotency_heartbeat'),
	('worker', 'idempotency_lookup'),
	('worker', 'webhook_inbox_record'),
	('worker', 'webhook_inbox_record_batch'),
	('worker', 'webhook_inbox_fetch'),
	('worker', 'webhook_inbox_complete'),
	('worker', 'webhook_inbox_fail'),
	('worker', 'webhook_inbox_process'),
	('admin', 'idempotency_lookup'),
	('admin', 'idempotency_forget'),
	('admin', 'idempotency_forget_tenant'),
	('admin', 'idempotency_sweep'),
	('admin', 'idempotency_stats'),
	('admin', 'idempotency_stats_reset'),
	('admin', 'idempotency_activity'),
	('admin', 'webhook_inbox_requeue'),
	('admin', 'webhook_inbox_requeue_dead')
) AS m (profile, name)
JOIN pg_catalog.pg_extension AS e ON e.extname OPERATOR(pg_catalog.=) 'idempotency'
JOIN pg_catalog.pg_depend AS d ON d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_extension'::pg_catalog.regclass
	AND d.refobjid OPERATOR(pg_catalog.=) e.oid AND d.deptype OPERATOR(pg_catalog.=) 'e'
	AND d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_proc'::pg_catalog.regclass
JOIN pg_catalog.pg_proc AS p ON p.oid OPERATOR(pg_catalog.=) d.objid
	AND p.proname OPERATOR(pg_catalog.=) m.name::pg_catalog.name
UNION ALL
SELECT 'admin', 'SELECT', NULL, c.oid
FROM (VALUES
	('idempotency_keys'),
	('webhook_inbox'),
	('idempotency_stats'),
	('idempotency_activity'),
	('idempotency_profiles')
) AS m (name)
JOIN pg_catalog.pg_extension AS e ON e.extname OPERATOR(pg_catalog.=) 'idempotency'
JOIN pg_catalog.pg_class AS c ON c.relnamespace OPERATOR(pg_catalog.=) e.extnamespace
	AND c.relname OPERATOR(pg_catalog.=) m.name::pg_catalog.name;
COMMENT ON VIEW @extschema@.idempotency_profiles IS
'what idempotency_grant grants to the roles of each profile';
COMMENT ON COLUMN @extschema@.idempotency_profiles.profile IS
'app, worker or admin';
COMMENT ON COLUMN @extschema@.idempotency_profiles.privilege IS
'EXECUTE or SELECT';
COMMENT ON COLUMN @extschema@.idempotency_profiles.routine IS
'the function or procedure it is on; null for SELECT';
COMMENT ON COLUMN @extschema@.idempotency_profiles.relation IS
'the table or view it is on; null for EXECUTE';

CREATE FUNCTION @extschema@.idempotency_set_profile(
	grantee pg_catalog.regrole,
	profile pg_catalog.text,
	granted pg_catalog.bool,
	profiles @extschema@.idempotency_profiles[])
RETURNS pg_catalog.void
LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	_schema regnamespace := (SELECT extnamespace FROM pg_extension WHERE extname = 'idempotency');
	_object text;
	_privilege text;
BEGIN
	IF grantee IS NULL OR NOT EXISTS (SELECT FROM pg_roles AS r WHERE r.oid = grantee) THEN
		RAISE 'grantee does not exist'
			USING ERRCODE = 'invalid_parameter_value',
			DETAIL = 'The argument "grantee" is not acceptable.', HINT = 'Pass the name of a role.';
	END IF;
	IF NOT EXISTS (SELECT FROM unnest(profiles) AS p WHERE p.profile = idempotency_set_profile.profile) THEN
		RAISE 'profile does not exist'
			USING ERRCODE = 'invalid_parameter_value',
			DETAIL = 'The argument "profile" is not acceptable.', HINT = 'Pass app, worker or admin.';
	END IF;

	IF granted AND NOT has_schema_privilege(grantee, _schema, 'USAGE') THEN
		EXECUTE format('GRANT USAGE ON SCHEMA %s TO %s', _schema, grantee);
	END IF;

	-- Revoking leaves what another profile of the role needs, too.  A role has a
	-- profile if it may execute all of its functions.
	FOR _privilege, _object IN
		SELECT p.privilege, coalesce('ROUTINE ' || p.routine, 'TABLE ' || p.relation)
		FROM unnest(profiles) AS p
		WHERE p.profile = idempotency_set_profile.profile AND (granted OR NOT EXISTS (
			SELECT FROM unnest(profiles) AS same
			WHERE same.routine = p.routine AND same.profile <> p.profile
			AND NOT EXISTS (
				SELECT FROM unnest(profiles) AS other JOIN pg_proc AS f ON f.oid = other.routine
				WHERE other.profile = same.profile
				AND NOT EXISTS (SELECT FROM aclexplode(f.proacl) AS acl
					WHERE acl.grantee = idempotency_set_profile.grantee))))
	LOOP
		EXECUTE format(CASE WHEN granted THEN 'GRANT %s ON %s TO %s' ELSE 'REVOKE %s ON %s FROM %s' END,
			_privilege, _object, grantee);
	END LOOP;
END $$;
REVOKE ALL ON FUNCTION @extschema@.idempotency_set_profile FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.idempotency_set_profile IS
'What idempotency_grant and idempotency_revoke have in common.
Arguments:
  grantee, profile: as theirs
  granted: true to grant
  profiles: the rows of idempotency_profiles, which they pass since what is found by name here might be another''s
Errors: 22023, and those of GRANT and REVOKE.';

CREATE FUNCTION @extschema@.idempotency_grant(
	grantee pg_catalog.regrole,
	profile pg_catalog.text)
RETURNS pg_catalog.void
LANGUAGE sql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
BEGIN ATOMIC
	SELECT @extschema@.idempotency_set_profile(grantee, profile, true,
		ARRAY(SELECT p FROM @extschema@.idempotency_profiles AS p));
END;
REVOKE ALL ON FUNCTION @extschema@.idempotency_grant FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.idempotency_grant IS
'Grant a role what it needs for its task, as listed in idempotency_profiles.
That is EXECUTE on functions, for admin also SELECT on the tables and views, and USAGE on the schema. A role may be granted several.
Arguments:
  grantee: a role
  profile: app (claims keys and records events), worker (processes events and finishes abandoned claims) or admin (looks, cleans up and repairs)
Errors: 22023, and those of GRANT.';

CREATE FUNCTION @extschema@.idempotency_revoke(
	grantee pg_catalog.regrole,
	profile pg_catalog.text)
RETURNS pg_catalog.void
LANGUAGE sql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
BEGIN ATOMIC
	SELECT @extschema@.idempotency_set_profile(grantee, profile, false,
		ARRAY(SELECT p FROM @extschema@.idempotency_profiles AS p));
END;
REVOKE ALL ON FUNCTION @extschema@.idempotency_revoke FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.idempotency_revoke IS
'Revoke what idempotency_grant has granted, but for USAGE on the schema and what another profile of the role needs, too.
Arguments:
  grantee: a role
  profile: app, worker or admin
Errors: 22023, and those of REVOKE.';

-- Default privileges of the database must not give away what everybody has
-- asked and was answered.
DO $$
DECLARE
	_object text;
	_grantee text;
BEGIN
	FOR _object, _grantee IN
		SELECT o.name, CASE WHEN acl.grantee OPERATOR(pg_catalog.=) 0 THEN 'PUBLIC' ELSE acl.grantee::pg_catalog.regrole::pg_catalog.text END
		FROM pg_catalog.pg_extension AS e
		JOIN pg_catalog.pg_depend AS d ON d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_extension'::pg_catalog.regclass
			AND d.refobjid OPERATOR(pg_catalog.=) e.oid AND d.deptype OPERATOR(pg_catalog.=) 'e',
		LATERAL (
			SELECT pg_catalog.format('ROUTINE %s', p.oid::pg_catalog.regprocedure), p.proacl, p.proowner, false
			FROM pg_catalog.pg_proc AS p
			WHERE d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_proc'::pg_catalog.regclass
			AND p.oid OPERATOR(pg_catalog.=) d.objid
			UNION ALL
			SELECT pg_catalog.format('TABLE %s', c.oid::pg_catalog.regclass), c.relacl, c.relowner, true
			FROM pg_catalog.pg_class AS c
			WHERE d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass
			AND c.oid OPERATOR(pg_catalog.=) d.objid AND c.relkind OPERATOR(pg_catalog.=) ANY ('{r,v}')
		) AS o (name, acl, owner, is_table),
		LATERAL pg_catalog.aclexplode(o.acl) AS acl
		WHERE e.extname OPERATOR(pg_catalog.=) 'idempotency'
		AND acl.grantee OPERATOR(pg_catalog.<>) o.owner AND (o.is_table OR acl.grantee OPERATOR(pg_catalog.<>) 0)
	LOOP
		EXECUTE pg_catalog.format('REVOKE ALL ON %s FROM %s', _object, _grantee);
	END LOOP;
END $$;
