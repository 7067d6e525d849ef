/*-------------------------------------------------------------------------
 *
 * stream.c
 *	  Streams, whose events are handed out one at a time and in order.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "plans.h"
#include "stream.h"

/* The columns of SELECT_HEAD. */
enum HeadColumn
{
	HEAD_EVENT_ID,
	HEAD_STATE,
	HEAD_ATTEMPT,
	HEAD_NOT_DUE,
	NUM_HEAD_COLUMNS
};

bool
try_stream(const StreamId *id, LOCKMODE mode)
{
	LOCKTAG		tag = stream_lock_tag(id);

	return try_optional_lock(&tag, mode);
}

void
leave_stream(const StreamId *id, LOCKMODE mode)
{
	LOCKTAG		tag = stream_lock_tag(id);

	drop_lock(&tag, mode);
}

Head
read_head(const Extension *extension, const StreamId *id, TimestampTz now)
{
	Head		head = {.kind = HEAD_NONE};
	Parameters	parameters = {0};
	Datum		values[NUM_HEAD_COLUMNS];
	bool		isnull[NUM_HEAD_COLUMNS];

	add_pointer(&parameters, id->tenant);
	add_pointer(&parameters, id->source);
	add_pointer(&parameters, id->stream);
	add_time(&parameters, now);
	if (run_statement(extension, SELECT_HEAD, &parameters,
					  values, isnull) == 0)
		return head;

	head.id.tenant = id->tenant;
	head.id.source = id->source;
	head.id.event_id = DatumGetTextPP(values[HEAD_EVENT_ID]);
	head.attempt = DatumGetInt32(values[HEAD_ATTEMPT]);

	/* an event without a turn has no due_at, and is ready when it is first */
	if (!isnull[HEAD_NOT_DUE] && DatumGetBool(values[HEAD_NOT_DUE]))
		head.kind = HEAD_BLOCKED;
	else if (is_state(DatumGetTextPP(values[HEAD_STATE]), STATE_PROCESSING))
		head.kind = HEAD_LAPSED;
	else
		head.kind = HEAD_READY;
	return head;
}
