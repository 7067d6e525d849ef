/*-------------------------------------------------------------------------
 *
 * claim.h
 *	  Claiming a key.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEMPOTENCY_CLAIM_H
#define IDEMPOTENCY_CLAIM_H

#include "utils/jsonb.h"

#include "key.h"

typedef enum Outcome
{
	OUTCOME_CLAIMED,
	OUTCOME_RESUMED,
	OUTCOME_REPLAY,
	OUTCOME_IN_PROGRESS,
	OUTCOME_MISMATCH,
	OUTCOME_GONE,
	NUM_OUTCOMES
} Outcome;

/* What is asked for.  Durations are in microseconds. */
typedef struct ClaimRequest
{
	KeyId		id;
	Jsonb	   *request;		/* NULL: not compared */
	int64		lease;
	int64		ttl;
	int64		wait;
	bool		keep_request;
} ClaimRequest;

/* What came of it. */
typedef struct Claim
{
	Outcome		outcome;
	int64		token;			/* if claimed or resumed */
	int32		attempt;		/* likewise */
	int32		retry_after;	/* in seconds, if in progress */
	TimestampTz created_at;		/* if claimed */
	bool		has_row;		/* the row that decided it, if one was seen */
	KeyRow		row;
} Claim;

/*
 * Claims a key, and holds its lock until the transaction ends if the outcome
 * is claimed or resumed.
 */
extern void claim_key(const Extension *extension, const ClaimRequest *request,
					  Claim *claim);

/* The HTTP status that an outcome stands for, or 0 if it is the response's. */
extern int	outcome_status(Outcome outcome);

/* The word for an outcome. */
extern const char *outcome_name(Outcome outcome);

#endif							/* IDEMPOTENCY_CLAIM_H */
