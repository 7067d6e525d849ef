/*-------------------------------------------------------------------------
 *
 * request_hash.h
 *	  The fingerprint of a request.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEMPOTENCY_REQUEST_HASH_H
#define IDEMPOTENCY_REQUEST_HASH_H

#include "utils/jsonb.h"

/*
 * SHA-256 over the value of a document, not over its spelling.
 */
extern bytea *hash_request(Jsonb *request);

#endif							/* IDEMPOTENCY_REQUEST_HASH_H */
