/*-------------------------------------------------------------------------
 *
 * inbox.c
 *	  An event in the webhook inbox: its identity, its row, and the state
 *	  machine.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "errors.h"
#include "inbox.h"
#include "plans.h"
#include "stats.h"

/* The columns of SELECT_EVENT. */
enum EventColumn
{
	EVENT_STATE,
	EVENT_TOKEN,
	EVENT_ATTEMPT,
	EVENT_RECEIVED_AT,
	EVENT_PAYLOAD_CHANGED,
	EVENT_IS_EXPIRED,
	NUM_EVENT_COLUMNS
};

bool
read_event(const Extension *extension, const EventId *id, TimestampTz now,
		   Jsonb *payload, EventRow *row)
{
	Parameters	parameters = {0};
	Datum		values[NUM_EVENT_COLUMNS];
	bool		isnull[NUM_EVENT_COLUMNS];

	add_event(&parameters, id);
	add_time(&parameters, now);
	add_pointer(&parameters, payload);
	if (run_statement(extension, SELECT_EVENT, &parameters,
					  values, isnull) == 0)
		return false;

	row->state = DatumGetTextPP(values[EVENT_STATE]);
	row->token = DatumGetInt64(values[EVENT_TOKEN]);
	row->attempt = DatumGetInt32(values[EVENT_ATTEMPT]);
	row->received_at = DatumGetTimestampTz(values[EVENT_RECEIVED_AT]);
	row->payload_changed = DatumGetBool(values[EVENT_PAYLOAD_CHANGED]);
	row->is_expired = !isnull[EVENT_IS_EXPIRED] &&
		DatumGetBool(values[EVENT_IS_EXPIRED]);
	return true;
}

bool
is_state(const text *state, const char *name)
{
	size_t		length = strlen(name);

	return VARSIZE_ANY_EXHDR(state) == length &&
		memcmp(VARDATA_ANY(state), name, length) == 0;
}

/* What became of an event whose token is refused. */
static const char *
refusal_detail(const EventRow *row, int64 token)
{
	if (row->token != token || row->attempt == 0)
		return "The event was handed out again or requeued, or the token never was this event's.";
	if (is_state(row->state, STATE_PROCESSED))
		return "The event has been completed.";
	if (is_state(row->state, STATE_DEAD))
		return "The event is dead.";
	return "The event was failed and waits for the next attempt.";
}

void
report_refused_event(const EventRow *row, int64 token)
{
	if (row == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_KEY_NOT_FOUND),
				 errmsg("webhook event does not exist"),
				 errdetail("It was never recorded for this tenant and source, or it has expired."),
				 errhint("Pass the tenant, source and event id that webhook_inbox_fetch returned.")));

	add_to_stats(COUNT_CLAIM_LOST, 1);
	ereport(ERROR,
			(errcode(ERRCODE_TOKEN_OUTDATED),
			 errmsg("token is no longer the event's"),
			 errdetail("%s", refusal_detail(row, token)),
			 errhint("Roll back: what this attempt did is not wanted any more.")));
}
