/*-------------------------------------------------------------------------
 *
 * record.h
 *	  Recording one event, and what a batch needs of that.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEMPOTENCY_RECORD_H
#define IDEMPOTENCY_RECORD_H

#include "utils/timestamp.h"

#include "extension.h"

/*
 * Tells whether to look for an event before it is inserted.  Under
 * SERIALIZABLE what was looked for conflicts with what others record nearby,
 * so it isn't done there: a duplicate then waits for whoever has the event.
 */
extern bool may_look(void);

/* Deletes those of the events that don't count any more. */
extern void delete_expired_events(const Extension *extension, text *tenant,
								  text *source, Datum *event_ids, int count,
								  TimestampTz now);

/*
 * Checks how long an event is to be kept: an ERROR (22023) that names the
 * argument if the time that leads to can't be stored, whenever the event may
 * come to be finished.
 */
extern void check_event_ttl(TimestampTz now, int64 ttl, const char *name);

/* Tells workers that listen, if idempotency.webhook_notify is on. */
extern void notify_workers(const text *source);

#endif							/* IDEMPOTENCY_RECORD_H */
