/*-------------------------------------------------------------------------
 *
 * complete.h
 *	  Completing a key.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEMPOTENCY_COMPLETE_H
#define IDEMPOTENCY_COMPLETE_H

#include "response.h"

/*
 * Stores the response of the holder of a token, or releases the key if the
 * response's status is one that must stay retryable.  ttl, in microseconds,
 * may be NULL for that of the settings.  Returns "completed" or "released".
 */
extern const char *complete_key(const Extension *extension, const KeyId *id,
								int64 token, const Response *response,
								const int64 *ttl);

#endif							/* IDEMPOTENCY_COMPLETE_H */
