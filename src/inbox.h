/*-------------------------------------------------------------------------
 *
 * inbox.h
 *	  An event in the webhook inbox: its identity, its row, and the state
 *	  machine.
 *
 * The row is the state.  An event moves like this:
 *
 *		        record            fetch               complete
 *		 absent -------> pending -------> processing -----------> processed
 *		                  ^    ^            |  ^  |                   |
 *		                  |    |    fail    |  |  | the lease lapses, |
 *		                  |    +------------+  +--+ then fetch        |
 *		                  |                 |                         |
 *		                  |                 | either, at the last     |
 *		                  |                 v attempt                 |
 *		                  |                dead                       |
 *		                  |    requeue      |                         |
 *		                  +-----------------+-------------------------+
 *
 * and is absent again when it is processed or dead, its expires_at has passed
 * and, in a stream, a fetch has passed its turn on.  record with
 * processed => true makes it processed at once.
 *
 * due_at says when a fetch has to look at the row: to hand the event out,
 * because its lease lapses, or to pass on a finished event's turn in its
 * stream (see stream.h).  It is NULL for an event that waits for others, and
 * for a finished one with nothing to pass on.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEMPOTENCY_INBOX_H
#define IDEMPOTENCY_INBOX_H

#include "utils/jsonb.h"

#include "compat.h"
#include "duration.h"
#include "extension.h"

#define STATE_PENDING "pending"
#define STATE_PROCESSING "processing"
#define STATE_PROCESSED "processed"
#define STATE_DEAD "dead"

/* What names an event.  All three have been checked. */
typedef struct EventId
{
	text	   *tenant;
	text	   *source;
	text	   *event_id;
} EventId;

/* What names a stream. */
typedef struct StreamId
{
	text	   *tenant;
	text	   *source;
	text	   *stream;
} StreamId;

/* An event as it stands, by SELECT_EVENT. */
typedef struct EventRow
{
	text	   *state;
	int64		token;
	int32		attempt;
	TimestampTz received_at;
	bool		payload_changed;	/* against the one to compare, if any */
	bool		is_expired;
} EventRow;

/*
 * Reads an event on the latest committed state; false if there is none.  The
 * payload to compare may be NULL.
 */
extern bool read_event(const Extension *extension, const EventId *id,
					   TimestampTz now, Jsonb *payload, EventRow *row);

/* Tells whether a state as it is stored has the given name. */
extern bool is_state(const text *state, const char *name);

/*
 * Says why the holder of this token may not change the event: an ERROR, IK005
 * if there is no such event (row is NULL) and IK004 otherwise.
 */
pg_noreturn extern void report_refused_event(const EventRow *row, int64 token);

#endif							/* IDEMPOTENCY_INBOX_H */
