/*-------------------------------------------------------------------------
 *
 * stream.h
 *	  Streams, whose events are handed out one at a time and in order.
 *
 * Which event of a stream is next must not depend on reading those behind it,
 * nor may a receiver wait for a worker, or a worker for a receiver.  So there
 * are turns, and locks that are only ever tried.
 *
 * Turns.  A row whose due_at is set has a turn: a fetch comes across it when
 * the time has come, and then looks at its stream.  Whichever row has led
 * there, it is the stream's first unfinished event that is handed out.  An
 * event that is recorded behind an earlier one gets no turn.  A finished
 * event keeps its turn until a fetch has passed it on, by handing out the
 * next event, or has found that there is none.  So, while a stream has
 * unfinished events, the first of them has a turn or a finished one has.
 * Turns beyond that do no harm, but cost each fetch a look.
 *
 * Locks.  A transaction holds the stream's lock until it ends, when it
 *
 *	records	an event without a turn, counting on an earlier one's;
 *	fetches	an event, so that nobody else hands out one meanwhile, though he
 *			can't see this one in flight;
 *	closes	the stream, which has nothing to hand out, so that nobody counts
 *			meanwhile on the turns that are taken away.
 *
 * Closing conflicts with everything, fetching with fetching, and recording
 * with neither itself nor fetching.  Who can't get the lock does without:
 * gives the event a turn of its own, which costs a fetch one look more;
 * leaves the stream to a later fetch; leaves the turn where it is.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEMPOTENCY_STREAM_H
#define IDEMPOTENCY_STREAM_H

#include "lock.h"

#define STREAM_RECORDING RowExclusiveLock
#define STREAM_FETCHING ShareUpdateExclusiveLock
#define STREAM_CLOSING ExclusiveLock

/* What a fetch finds at the head of a stream. */
typedef enum HeadKind
{
	HEAD_NONE,					/* every event is finished */
	HEAD_BLOCKED,				/* one is in flight, or the first is not due */
	HEAD_LAPSED,				/* one was in flight until its lease lapsed */
	HEAD_READY,					/* the first can be handed out */
} HeadKind;

typedef struct Head
{
	HeadKind	kind;
	EventId		id;				/* of that event */
	int32		attempt;
} Head;

/* Tries to lock a stream, until the transaction ends. */
extern bool try_stream(const StreamId *id, LOCKMODE mode);

/* Gives the lock back, where nothing was done that needs it. */
extern void leave_stream(const StreamId *id, LOCKMODE mode);

/* Looks at the head of a stream. */
extern Head read_head(const Extension *extension, const StreamId *id,
					  TimestampTz now);

#endif							/* IDEMPOTENCY_STREAM_H */
