/*-------------------------------------------------------------------------
 *
 * outcome.h
 *	  The answers that a claim, or a record of an event, can have.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEMPOTENCY_OUTCOME_H
#define IDEMPOTENCY_OUTCOME_H

#include "inbox.h"
#include "key.h"

typedef enum Outcome
{
	/* of a claim */
	OUTCOME_CLAIMED,
	OUTCOME_RESUMED,
	OUTCOME_REPLAY,
	OUTCOME_IN_PROGRESS,
	OUTCOME_MISMATCH,
	OUTCOME_GONE,

	/* of an event that is recorded */
	OUTCOME_RECORDED,
	OUTCOME_DUPLICATE,
	NUM_OUTCOMES
} Outcome;

/* The word for an outcome. */
extern const char *outcome_name(Outcome outcome);

/* The outcome that a word of so many bytes stands for; NUM_OUTCOMES if none. */
extern Outcome find_outcome(const char *name, size_t length);

/* The HTTP status that an outcome stands for, or 0 if it is the response's. */
extern int	outcome_status(Outcome outcome);

/*
 * Counts an answer, and writes it to the server's log if
 * idempotency.log_outcomes says so.
 */
extern void note_claim(Outcome outcome, const KeyId *id);
extern void note_record(Outcome outcome, const EventId *id);

#endif							/* IDEMPOTENCY_OUTCOME_H */
