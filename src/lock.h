/*-------------------------------------------------------------------------
 *
 * lock.h
 *	  Locks on keys, events and streams, held until the transaction ends.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEMPOTENCY_LOCK_H
#define IDEMPOTENCY_LOCK_H

#include "storage/lock.h"

#include "inbox.h"
#include "key.h"

/* Begins to count this session's locks. */
extern void init_locks(void);

/* The lock of whoever writes a key's row. */
extern LOCKTAG key_lock_tag(const KeyId *id);

/*
 * The lock of whoever records an event, and another of whoever moves it on
 * once it has been handed out: a receiver must not wait for a worker.
 */
extern LOCKTAG record_lock_tag(const EventId *id);
extern LOCKTAG work_lock_tag(const EventId *id);

/* The lock on a stream; its modes are explained in stream.h. */
extern LOCKTAG stream_lock_tag(const StreamId *id);

/* Takes a lock if nobody holds a conflicting one. */
extern bool try_lock(const LOCKTAG *tag, LOCKMODE mode);

/* Takes a lock, waiting for its holder. */
extern void take_lock(const LOCKTAG *tag, LOCKMODE mode);

/*
 * Takes an exclusive lock, waiting for its holder for so many milliseconds at
 * most.
 */
extern bool wait_for_lock(const LOCKTAG *tag, int milliseconds);

/* Tells whether this transaction holds the exclusive lock. */
extern bool holds_lock(const LOCKTAG *tag);

/* Gives back a lock that is not ours to keep. */
extern void drop_lock(const LOCKTAG *tag, LOCKMODE mode);

/*
 * The server's lock table is shared by all and has a fixed size.  So a
 * transaction that has taken many locks does without more of them: then others
 * have to wait for its rows, where the lock would have let them answer at
 * once.
 */

/* Tells whether to take another one. */
extern bool may_lock_more(void);

/* Takes one if so, or if it is ours already, waiting for its holder. */
extern bool take_optional_lock(const LOCKTAG *tag, LOCKMODE mode);

/* Takes one likewise, if nobody holds a conflicting one. */
extern bool try_optional_lock(const LOCKTAG *tag, LOCKMODE mode);

/*
 * The same for locks on events.  They are taken up to the half only, to leave
 * the other for streams, where doing without costs most.
 */
extern bool may_lock_event(void);
extern bool take_event_lock(const LOCKTAG *tag, LOCKMODE mode);

/* Gives a lock that was just taken back again if there are too many by now. */
extern void drop_surplus_lock(const LOCKTAG *tag, LOCKMODE mode);

#endif							/* IDEMPOTENCY_LOCK_H */
