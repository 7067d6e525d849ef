/*-------------------------------------------------------------------------
 *
 * stream.h
 *	  Streams, whose events are handed out one at a time and in order.
 *
 * Which event of a stream is next must not depend on reading those behind it,
 * nor may a receiver wait for a worker, or a worker for a receiver.  So there
 * are turns, and locks that receivers and workers only ever try.
 *
 * Turns.  A row whose due_at is set has a turn: a fetch comes across it when
 * the time has come, and then looks at its stream.  Whichever row has led
 * there, it is the stream's first unfinished event that is handed out.  An
 * event that is recorded behind an earlier one gets no turn.  A finished
 * event keeps its turn until a fetch has passed it on, by handing out the
 * next event, or has found that there is none.  So, while a stream has
 * unfinished events, the one in flight or, without one, the first of them has
 * a turn, or a finished one has.  Turns beyond that do no harm, but cost each
 * fetch a look.
 *
 * Locks.  A transaction holds the stream's lock until it ends, when it
 *
 *	records	an event that may count on an earlier one's turn;
 *	fetches	an event, so that nobody else hands out one meanwhile, though he
 *			can't see this one in flight;
 *	closes	the stream, which has nothing to hand out or is to be deleted, so
 *			that nobody counts meanwhile on the turns that are taken away.
 *
 * Closing conflicts with everything, fetching with fetching, and recording
 * with neither itself nor fetching.  Who can't get the lock does without:
 * gives the event a turn of its own, which costs a fetch one look more;
 * leaves the stream to a later fetch; leaves the turn where it is.  (Beside
 * an event that is handed out, turns are taken away under the closing lock,
 * too, but only for a moment: see hand_out_head.)
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEMPOTENCY_STREAM_H
#define IDEMPOTENCY_STREAM_H

#include "due.h"
#include "lock.h"

#define STREAM_RECORDING RowExclusiveLock
#define STREAM_FETCHING ShareUpdateExclusiveLock
#define STREAM_CLOSING ExclusiveLock

/* Tries to lock a stream, until the transaction ends. */
extern bool try_lock_stream(const StreamId *id, LOCKMODE mode);

/*
 * Tries to lock a stream for recording an event that may count on the turn of
 * another.
 */
extern bool try_record_in_stream(const Extension *extension,
								 const StreamId *id);

/*
 * Locks it, waiting for others, which who deletes it has to.  False if the
 * transaction has too many locks already.
 */
extern bool lock_stream(const StreamId *id, LOCKMODE mode);

/* Tells whether this transaction holds the lock. */
extern bool holds_stream_lock(const StreamId *id, LOCKMODE mode);

/* Gives the lock back, where nothing was done that needs it. */
extern void unlock_stream(const StreamId *id, LOCKMODE mode);

/*
 * Hands out the next event of the stream that a listed row belongs to, if
 * there is one to hand out.
 */
extern void visit_stream(Fetch *fetch, DueList *list, const DueRow *row);

#endif							/* IDEMPOTENCY_STREAM_H */
