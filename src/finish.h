/*-------------------------------------------------------------------------
 *
 * finish.h
 *	  What a worker says of an event it was handed: done, or failed.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEMPOTENCY_FINISH_H
#define IDEMPOTENCY_FINISH_H

#include "inbox.h"
#include "plans.h"

/*
 * Takes the event's lock, waiting for it, and then looks at the clock.  Who
 * holds it may be about to hand out the event again.
 */
extern TimestampTz lock_event(const EventId *id);

/* Adds how long an event is kept that has no ttl of its own. */
extern void add_default_ttl(Parameters *parameters, TimestampTz now);

/*
 * Each is an ERROR if the token is not that of an event which is being
 * processed (IK004), or if there is no such event (IK005).
 */
extern void complete_event(const Extension *extension, const EventId *id,
						   int64 token);

/*
 * Returns the event's new state.  The error may be NULL, and so may retry_in,
 * the delay in microseconds.
 */
extern const char *fail_event(const Extension *extension, const EventId *id,
							  int64 token, text *error,
							  const int64 *retry_in);

#endif							/* IDEMPOTENCY_FINISH_H */
