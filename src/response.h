/*-------------------------------------------------------------------------
 *
 * response.h
 *	  The response that is stored for a key.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEMPOTENCY_RESPONSE_H
#define IDEMPOTENCY_RESPONSE_H

#include "utils/jsonb.h"

#include "key.h"

/* NULL pointers are SQL nulls; a body is text or bytes, not both. */
typedef struct Response
{
	int32		status;
	Jsonb	   *headers;
	text	   *body;
	bytea	   *bytes;
} Response;

/*
 * Returns the headers without those that idempotency.redact_headers names.
 * They are an object, or an array of objects; anything else is an ERROR
 * (22023).
 */
extern Jsonb *redact_headers(Jsonb *headers);

/* Tells whether a completed row holds exactly this response. */
extern bool is_stored_response(const KeyRow *row, const Response *response);

/* Returns the JSON text of a document, as a body. */
extern text *jsonb_body(Jsonb *document);

#endif							/* IDEMPOTENCY_RESPONSE_H */
