/*-------------------------------------------------------------------------
 *
 * key_lock.h
 *	  The lock that whoever writes a key's row holds until the transaction
 *	  ends.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEMPOTENCY_KEY_LOCK_H
#define IDEMPOTENCY_KEY_LOCK_H

#include "storage/lock.h"

#include "key.h"

/* Returns the tag of a key's lock. */
extern LOCKTAG key_lock_tag(const KeyId *id);

/* Takes the lock if nobody holds it. */
extern bool try_key_lock(const LOCKTAG *tag);

/* Takes the lock, waiting for its holder for so many milliseconds at most. */
extern bool wait_for_key_lock(const LOCKTAG *tag, int milliseconds);

/* Takes the lock, waiting for its holder. */
extern void take_key_lock(const LOCKTAG *tag);

/* Tells whether this transaction holds the lock. */
extern bool holds_key_lock(const LOCKTAG *tag);

/* Gives back a lock that is not ours to keep. */
extern void drop_key_lock(const LOCKTAG *tag);

#endif							/* IDEMPOTENCY_KEY_LOCK_H */
