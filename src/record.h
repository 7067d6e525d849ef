/*-------------------------------------------------------------------------
 *
 * record.h
 *	  What recording one event and recording a batch have in common.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEMPOTENCY_RECORD_H
#define IDEMPOTENCY_RECORD_H

#include "utils/array.h"
#include "utils/timestamp.h"

#include "extension.h"

/* What a recording function says. */
static inline const char *
outcome_of(bool is_duplicate)
{
	return is_duplicate ? "duplicate" : "recorded";
}

/* Deletes those of the events that don't count any more. */
extern void delete_expired_events(const Extension *extension, text *tenant,
								  text *source, ArrayType *event_ids,
								  TimestampTz now);

/* Tells workers that listen, if idempotency.webhook_notify is on. */
extern void notify_workers(const text *source);

#endif							/* IDEMPOTENCY_RECORD_H */
