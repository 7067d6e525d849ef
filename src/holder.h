/*-------------------------------------------------------------------------
 *
 * holder.h
 *	  Statements that only the holder of a key's current token may run.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEMPOTENCY_HOLDER_H
#define IDEMPOTENCY_HOLDER_H

#include "plans.h"

/* A call by the holder of a token, or by who takes himself for it. */
typedef struct HolderCall
{
	Extension	extension;
	KeyId		id;
	int64		token;
	TimestampTz now;
} HolderCall;

/* Takes the key's lock, waiting for it, and then looks at the clock. */
extern HolderCall begin_holder_call(const Extension *extension,
									const KeyId *id, int64 token);

/* Adds the five parameters that these statements start with. */
extern void add_holder(Parameters *parameters, const HolderCall *call);

/* Runs a statement; false if the token doesn't hold the key. */
extern bool run_as_holder(const HolderCall *call, StatementId statement,
						  Parameters *parameters);

#endif							/* IDEMPOTENCY_HOLDER_H */
