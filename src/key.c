/*-------------------------------------------------------------------------
 *
 * key.c
 *	  A key: its identity, its row, and the state machine.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "errors.h"
#include "key.h"
#include "plans.h"
#include "stats.h"

bool
read_key(const Extension *extension, const KeyId *id, KeyRow *row)
{
	Parameters	parameters = {0};

	add_key(&parameters, id);
	return run_statement(extension, SELECT_KEY, &parameters,
						 row->values, row->isnull) > 0;
}

bool
read_key_stable(const Extension *extension, const KeyId *id, KeyRow *row)
{
	Parameters	parameters = {0};

	add_key(&parameters, id);
	return run_stable_statement(extension, SELECT_KEY_STABLE, &parameters,
								row->values, row->isnull) > 0;
}

int64
key_token(const KeyRow *row)
{
	return DatumGetInt64(row->values[KEY_TOKEN]);
}

int32
key_attempt(const KeyRow *row)
{
	return DatumGetInt32(row->values[KEY_ATTEMPT]);
}

/* The column must not be NULL. */
TimestampTz
key_time(const KeyRow *row, KeyColumn column)
{
	Assert(!row->isnull[column]);
	return DatumGetTimestampTz(row->values[column]);
}

/* Tells whether the sweep has left nothing of the row but its name. */
static bool
is_tombstone(const KeyRow *row)
{
	return !row->isnull[KEY_COMPLETED_AT] && row->isnull[KEY_RESPONSE_STATUS];
}

TimestampTz
key_expiry(const KeyRow *row)
{
	return key_time(row, is_tombstone(row) ? KEY_COMPLETED_AT :
					KEY_EXPIRES_AT);
}

KeyState
key_state(const KeyRow *row, TimestampTz now)
{
	if (is_tombstone(row) || key_expiry(row) <= now)
		return KEY_ABSENT;
	if (!row->isnull[KEY_COMPLETED_AT])
		return KEY_COMPLETED;
	if (row->isnull[KEY_LEASE_EXPIRES_AT])
		return KEY_RELEASED;
	if (key_time(row, KEY_LEASE_EXPIRES_AT) <= now)
		return KEY_LAPSED;
	return KEY_IN_PROGRESS;
}

/* A lapsed key is still in progress until somebody takes it over. */
const char *
key_state_name(KeyState state)
{
	switch (state)
	{
		case KEY_IN_PROGRESS:
		case KEY_LAPSED:
			return "in_progress";
		case KEY_RELEASED:
			return "released";
		case KEY_COMPLETED:
			return "completed";
		case KEY_ABSENT:
			break;
	}
	elog(ERROR, "unexpected key state: %d", (int) state);
	return NULL;				/* keep the compiler quiet */
}

/* What became of a key whose token is refused. */
static const char *
refusal_detail(const KeyRow *row, int64 token, TimestampTz now)
{
	if (key_token(row) != token)
		return "A later claim has taken the key over, or the token never was this key's.";

	switch (key_state(row, now))
	{
		case KEY_ABSENT:
			return "The key has expired.";
		case KEY_RELEASED:
			return "The key was released and waits for the next claim.";
		case KEY_COMPLETED:
			return "The key has already been completed, and not with what this call brings.";
		case KEY_IN_PROGRESS:
		case KEY_LAPSED:
			break;
	}
	elog(ERROR, "the current token of a key in progress was refused");
	return NULL;				/* keep the compiler quiet */
}

void
report_refused_token(const KeyRow *row, int64 token, TimestampTz now)
{
	if (row == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_KEY_NOT_FOUND),
				 errmsg("idempotency key does not exist"),
				 errdetail("It was never claimed for this tenant and scope, or it has expired."),
				 errhint("Claim the key first, with the same tenant, scope and key.")));

	add_to_stats(COUNT_CLAIM_LOST, 1);
	ereport(ERROR,
			(errcode(ERRCODE_TOKEN_OUTDATED),
			 errmsg("token is no longer the claim's"),
			 errdetail("%s", refusal_detail(row, token, now)),
			 errhint("Roll back, claim the key again and follow the outcome.")));
}
