/*-------------------------------------------------------------------------
 *
 * claim.c
 *	  Claiming a key.
 *
 * The order of the steps is what makes it safe:
 *
 *	1. Try the key's lock.  Who doesn't get it only looks: somebody's open
 *	   transaction is writing the row, or is about to.
 *	2. INSERT ... ON CONFLICT DO NOTHING.  The unique index decides who is
 *	   first, also where the lock can't be seen.  Nothing is read before it,
 *	   so that the common case is one statement, and two new keys never
 *	   conflict under SERIALIZABLE.  Only in a streak of known keys it comes
 *	   after a look at the row, which may find that there is nothing to write.
 *	3. If the row was there, read it and decide by its state.  What replaces
 *	   the row names what it was read with: the token, and the time that the
 *	   decision was made by, since not all who write the row hold its lock.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/wait_event.h"

#include "arguments.h"
#include "claim.h"
#include "compat.h"
#include "lock.h"
#include "plans.h"
#include "request_hash.h"
#include "result.h"
#include "settings.h"
#include "streak.h"

/* how long to sleep before looking again at a key under a committed lease */
#define FIRST_PAUSE_MS 5
#define LONGEST_PAUSE_MS 500

#define USECS_PER_MSEC 1000

/* the deadline of a claim that doesn't wait */
#define DONT_WAIT DT_NOBEGIN

/* how many of this session's latest claims met a row */
static Streak known_keys;

/* A request, with what it is compared by and what time it is. */
typedef struct Attempt
{
	const Extension *extension;
	const ClaimRequest *request;
	bytea	   *hash;			/* NULL if there is no request */
	Clock		clock;
} Attempt;

/* When a lease that starts now ends: never after the row itself. */
static TimestampTz
lease_end(const Attempt *attempt)
{
	const ClaimRequest *request = attempt->request;

	return time_after(attempt->clock.now, Min(request->lease, request->ttl),
					  "lease");
}

static TimestampTz
expiry(const Attempt *attempt)
{
	return time_after(attempt->clock.now, attempt->request->ttl, "ttl");
}

/* The request itself, if it is to be kept. */
static Jsonb *
kept_request(const Attempt *attempt)
{
	return attempt->request->keep_request ? attempt->request->request : NULL;
}

/*
 * Adds the parameters that a first claim needs, whether it inserts the row or
 * finds an expired one in its place.
 */
static void
add_first_claim(Parameters *parameters, const Attempt *attempt, int64 token)
{
	add_key(parameters, &attempt->request->id);
	add_pointer(parameters, attempt->hash);
	add_pointer(parameters, kept_request(attempt));
	add_bigint(parameters, token);
	add_time(parameters, attempt->clock.now);
	add_time(parameters, lease_end(attempt));
	add_time(parameters, expiry(attempt));
}

static void
set_claimed(Claim *claim, const Attempt *attempt, int64 token)
{
	claim->outcome = OUTCOME_CLAIMED;
	claim->token = token;
	claim->attempt = 1;
	claim->created_at = attempt->clock.now;
}

/* Step 2: tries to be first. */
static bool
insert_key(const Attempt *attempt, Claim *claim)
{
	Parameters	parameters = {0};

	add_first_claim(&parameters, attempt, attempt->clock.token);
	if (run_statement(attempt->extension, INSERT_KEY, &parameters,
					  NULL, NULL) == 0)
		return false;
	set_claimed(claim, attempt, attempt->clock.token);
	return true;
}

/* The token of the claim that follows the row's. */
static int64
next_token(const Attempt *attempt, const KeyRow *row)
{
	return Max(attempt->clock.token, key_token(row) + 1);
}

/* Makes the row of an expired key that of a first claim. */
static bool
reclaim_key(const Attempt *attempt, Claim *claim)
{
	Parameters	parameters = {0};
	int64		token = next_token(attempt, &claim->row);

	add_first_claim(&parameters, attempt, token);
	add_bigint(&parameters, key_token(&claim->row));
	add_time(&parameters, key_time(&claim->row, KEY_EXPIRES_AT));
	if (run_statement(attempt->extension, RECLAIM_KEY, &parameters,
					  NULL, NULL) == 0)
		return false;
	set_claimed(claim, attempt, token);
	return true;
}

/* Takes over a key that was released or whose lease has lapsed. */
static bool
resume_key(const Attempt *attempt, Claim *claim)
{
	Parameters	parameters = {0};
	int64		token = next_token(attempt, &claim->row);

	add_key(&parameters, &attempt->request->id);
	add_bigint(&parameters, token);
	add_time(&parameters, lease_end(attempt));
	add_time(&parameters, expiry(attempt));
	add_pointer(&parameters, kept_request(attempt));
	add_bigint(&parameters, key_token(&claim->row));
	if (claim->row.isnull[KEY_LEASE_EXPIRES_AT])
		add_null(&parameters);
	else
		add_time(&parameters, key_time(&claim->row, KEY_LEASE_EXPIRES_AT));
	if (run_statement(attempt->extension, RESUME_KEY, &parameters,
					  NULL, NULL) == 0)
		return false;

	claim->outcome = OUTCOME_RESUMED;
	claim->token = token;
	claim->attempt = key_attempt(&claim->row) + 1;
	return true;
}

/* Tells whether the row was made for another request than this one. */
static bool
is_other_request(const Attempt *attempt, const KeyRow *row)
{
	bytea	   *stored;

	if (attempt->hash == NULL || row->isnull[KEY_REQUEST_HASH])
		return false;
	stored = DatumGetByteaPP(row->values[KEY_REQUEST_HASH]);
	return VARSIZE_ANY_EXHDR(stored) != VARSIZE_ANY_EXHDR(attempt->hash) ||
		memcmp(VARDATA_ANY(stored), VARDATA_ANY(attempt->hash),
			   VARSIZE_ANY_EXHDR(stored)) != 0;
}

/* An expired key is still remembered while its tombstone stands. */
static bool
has_tombstone(const Attempt *attempt, const KeyRow *row)
{
	return tombstone_ttl > 0 &&
		time_after(key_expiry(row), tombstone_ttl,
				   "idempotency.tombstone_ttl") > attempt->clock.now;
}

/* What a claim is to be, by the state of the row that it found. */
static Outcome
decide(const Attempt *attempt, const KeyRow *row)
{
	KeyState	state = key_state(row, attempt->clock.now);

	if (state == KEY_ABSENT)
		return has_tombstone(attempt, row) ? OUTCOME_GONE : OUTCOME_CLAIMED;
	if (is_other_request(attempt, row))
		return OUTCOME_MISMATCH;
	if (state == KEY_COMPLETED)
		return OUTCOME_REPLAY;
	if (state == KEY_IN_PROGRESS)
		return OUTCOME_IN_PROGRESS;
	return OUTCOME_RESUMED;
}

/*
 * How many seconds a client should leave the key alone: as long again as the
 * claim has run so far, but not past the end of its lease.
 *
 * Retries then come at doubling distances, and one that comes early in a
 * half-hour lease isn't sent away for half an hour.
 */
static int32
retry_after(const Attempt *attempt, const Claim *claim)
{
	int64		usecs;

	if (!claim->has_row ||
		key_state(&claim->row, attempt->clock.now) != KEY_IN_PROGRESS)
		return 1;

	usecs = Min(attempt->clock.token - key_token(&claim->row),
				key_time(&claim->row, KEY_LEASE_EXPIRES_AT) -
				attempt->clock.now);
	usecs = Max(usecs, 1);
	return (int32) Min((usecs + USECS_PER_SEC - 1) / USECS_PER_SEC,
					   PG_INT32_MAX);
}

/* Tells whether an outcome makes the key the caller's, if it can be. */
static bool
gives_key(Outcome outcome)
{
	return outcome == OUTCOME_CLAIMED || outcome == OUTCOME_RESUMED;
}

/* Reads the row, if any, and decides by it. */
static void
look_at_key(Attempt *attempt, Claim *claim)
{
	claim->has_row = read_key(attempt->extension, &attempt->request->id,
							  &claim->row);
	attempt->clock = read_clock();
	claim->outcome = claim->has_row ? decide(attempt, &claim->row) :
		OUTCOME_CLAIMED;
}

/*
 * Decides while somebody else holds the lock: what the key could be claimed
 * as doesn't count, for it is theirs.
 */
static void
decide_without_lock(Attempt *attempt, Claim *claim)
{
	look_at_key(attempt, claim);
	if (gives_key(claim->outcome))
		claim->outcome = OUTCOME_IN_PROGRESS;
}

/*
 * Decides while holding the lock, and writes the row if the key is ours.
 * Returns whether it is.
 *
 * It begins again when a row has gone or changed since it was looked at.
 * Only a statement that doesn't respect the lock can do that.  So it does
 * after a look that came first, unless that has given the answer.
 */
static bool
decide_with_lock(Attempt *attempt, Claim *claim)
{
	bool		look = is_streak(known_keys);

	for (;; look = false)
	{
		CHECK_FOR_INTERRUPTS();
		attempt->clock = read_clock();
		if (!look && insert_key(attempt, claim))
			return true;

		look_at_key(attempt, claim);
		if (!claim->has_row || (look && gives_key(claim->outcome)))
			continue;
		switch (claim->outcome)
		{
			case OUTCOME_CLAIMED:
				if (reclaim_key(attempt, claim))
					return true;
				break;
			case OUTCOME_RESUMED:
				if (resume_key(attempt, claim))
					return true;
				break;
			default:
				return false;
		}
	}
}

/* Sleeps, interruptibly, while another transaction may complete the key. */
static void
pause_milliseconds(int64 milliseconds)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					 milliseconds, PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

/* Whole milliseconds until then, rounded up; 0 if it has passed. */
static int
milliseconds_until(TimestampTz deadline)
{
	TimestampTz now;

	if (deadline == DONT_WAIT || deadline <= (now = GetCurrentTimestamp()))
		return 0;
	return (int) Min((deadline - now - 1) / USECS_PER_MSEC + 1, PG_INT32_MAX);
}

/*
 * Tries once, waiting for an open transaction until the deadline.  Returns
 * whether waiting longer could change the outcome.
 */
static bool
try_to_claim(Attempt *attempt, const LOCKTAG *tag, TimestampTz deadline,
			 Claim *claim)
{
	bool		locked = try_lock(tag, ExclusiveLock);

	if (!locked && deadline != DONT_WAIT)
	{
		int			remaining;

		/* an answer that waiting can't change is given at once */
		decide_without_lock(attempt, claim);
		if (claim->outcome != OUTCOME_IN_PROGRESS)
			return false;
		remaining = milliseconds_until(deadline);
		locked = remaining > 0 && wait_for_lock(tag, remaining);
	}

	if (!locked)
		decide_without_lock(attempt, claim);
	else if (decide_with_lock(attempt, claim))
		drop_surplus_lock(tag, ExclusiveLock);
	else
		drop_lock(tag, ExclusiveLock);

	/* a transaction that waits for itself would wait in vain */
	return claim->outcome == OUTCOME_IN_PROGRESS && !holds_lock(tag);
}

void
claim_key(const Extension *extension, const ClaimRequest *request,
		  Claim *claim)
{
	Attempt		attempt = {.extension = extension,.request = request};
	LOCKTAG		tag = key_lock_tag(&request->id);
	TimestampTz deadline = DONT_WAIT;
	int			pause = FIRST_PAUSE_MS;

	if (request->request != NULL)
		attempt.hash = hash_request(request->request);
	if (request->wait > 0)
		deadline = time_after(GetCurrentTimestamp(), request->wait, "wait");

	memset(claim, 0, offsetof(Claim, row));
	while (try_to_claim(&attempt, &tag, deadline, claim))
	{
		int			remaining = milliseconds_until(deadline);

		if (remaining == 0)
			break;
		pause_milliseconds(Min(pause, remaining));
		pause = Min(2 * pause, LONGEST_PAUSE_MS);
	}
	if (claim->outcome == OUTCOME_IN_PROGRESS)
		claim->retry_after = retry_after(&attempt, claim);
	note_in_streak(&known_keys, claim->has_row);
	note_claim(claim->outcome, &request->id);
}

/* The columns of idempotency_claim's result. */
enum ClaimColumn
{
	CLAIM_OUTCOME,
	CLAIM_TOKEN,
	CLAIM_ATTEMPT,
	CLAIM_RECOVERY_POINT,
	CLAIM_RECOVERY_DATA,
	CLAIM_RESPONSE_STATUS,
	CLAIM_RESPONSE_HEADERS,
	CLAIM_RESPONSE_BODY,
	CLAIM_RESPONSE_BYTES,
	CLAIM_RETRY_AFTER,
	CLAIM_CREATED_AT,
	NUM_CLAIM_COLUMNS
};

static const ResultColumn claim_columns[NUM_CLAIM_COLUMNS] = {
	[CLAIM_OUTCOME] = {"outcome", TEXTOID},
	[CLAIM_TOKEN] = {"token", INT8OID},
	[CLAIM_ATTEMPT] = {"attempt", INT4OID},
	[CLAIM_RECOVERY_POINT] = {"recovery_point", TEXTOID},
	[CLAIM_RECOVERY_DATA] = {"recovery_data", JSONBOID},
	[CLAIM_RESPONSE_STATUS] = {"response_status", INT4OID},
	[CLAIM_RESPONSE_HEADERS] = {"response_headers", JSONBOID},
	[CLAIM_RESPONSE_BODY] = {"response_body", TEXTOID},
	[CLAIM_RESPONSE_BYTES] = {"response_bytes", BYTEAOID},
	[CLAIM_RETRY_AFTER] = {"retry_after", INT4OID},
	[CLAIM_CREATED_AT] = {"created_at", TIMESTAMPTZOID},
};

static void
put_column(int column, Datum value, Datum *values, bool *isnull)
{
	values[column] = value;
	isnull[column] = false;
}

/* Copies a column of the row to one of the result. */
static void
copy_column(const Claim *claim, KeyColumn from, int to,
			Datum *values, bool *isnull)
{
	values[to] = claim->row.values[from];
	isnull[to] = claim->row.isnull[from];
}

/* Fills what the outcome calls for; the rest stays NULL. */
static void
fill_claim_columns(const Claim *claim, Datum *values, bool *isnull)
{
	int			status = outcome_status(claim->outcome);

	put_column(CLAIM_OUTCOME, text_datum(outcome_name(claim->outcome)),
			   values, isnull);
	if (status != 0)
		put_column(CLAIM_RESPONSE_STATUS, Int32GetDatum(status),
				   values, isnull);
	if (claim->has_row)
		copy_column(claim, KEY_CREATED_AT, CLAIM_CREATED_AT, values, isnull);

	switch (claim->outcome)
	{
		case OUTCOME_RESUMED:
			copy_column(claim, KEY_RECOVERY_POINT, CLAIM_RECOVERY_POINT,
						values, isnull);
			copy_column(claim, KEY_RECOVERY_DATA, CLAIM_RECOVERY_DATA,
						values, isnull);
			break;
		case OUTCOME_CLAIMED:
			put_column(CLAIM_CREATED_AT,
					   TimestampTzGetDatum(claim->created_at),
					   values, isnull);
			break;
		case OUTCOME_REPLAY:
			copy_column(claim, KEY_RESPONSE_STATUS, CLAIM_RESPONSE_STATUS,
						values, isnull);
			copy_column(claim, KEY_RESPONSE_HEADERS, CLAIM_RESPONSE_HEADERS,
						values, isnull);
			copy_column(claim, KEY_RESPONSE_BODY, CLAIM_RESPONSE_BODY,
						values, isnull);
			copy_column(claim, KEY_RESPONSE_BYTES, CLAIM_RESPONSE_BYTES,
						values, isnull);
			break;
		case OUTCOME_IN_PROGRESS:
			put_column(CLAIM_RETRY_AFTER, Int32GetDatum(claim->retry_after),
					   values, isnull);
			break;
		default:
			break;
	}

	if (gives_key(claim->outcome))
	{
		put_column(CLAIM_TOKEN, Int64GetDatum(claim->token), values, isnull);
		put_column(CLAIM_ATTEMPT, Int32GetDatum(claim->attempt),
				   values, isnull);
	}
}

PG_FUNCTION_INFO_V1(idempotency_claim);

Datum
idempotency_claim(PG_FUNCTION_ARGS)
{
	static TupleDesc type;
	ClaimRequest request;
	Claim		claim;
	Extension	extension;
	Datum		values[NUM_CLAIM_COLUMNS] = {0};
	bool		isnull[NUM_CLAIM_COLUMNS];

	request.id = key_arguments(fcinfo, 0, 1, 3);
	request.request = jsonb_argument(fcinfo, 2);
	request.lease = duration_argument(fcinfo, 4, "lease", default_lease);
	request.ttl = duration_argument(fcinfo, 5, "ttl", success_ttl);
	request.wait = duration_argument(fcinfo, 6, "wait", default_wait);
	request.keep_request = boolean_argument(fcinfo, 7, default_keep_request);
	check_may_write();

	extension = find_extension(fcinfo, KEYS_TABLE);
	claim_key(&extension, &request, &claim);

	memset(isnull, true, sizeof(isnull));
	fill_claim_columns(&claim, values, isnull);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(result_type(claim_columns, NUM_CLAIM_COLUMNS, &type),
													  values, isnull)));
}
