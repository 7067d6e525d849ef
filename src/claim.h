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
#include "outcome.h"

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
 * is claimed or resumed.  (A transaction that holds very many locks has to do
 * without more, see lock.h; then a duplicate waits for its end.)
 */
extern void claim_key(const Extension *extension, const ClaimRequest *request,
					  Claim *claim);

#endif							/* IDEMPOTENCY_CLAIM_H */
