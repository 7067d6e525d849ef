/*-------------------------------------------------------------------------
 *
 * extension.h
 *	  Where the extension's objects are, and who owns them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEMPOTENCY_EXTENSION_H
#define IDEMPOTENCY_EXTENSION_H

#include "fmgr.h"

typedef struct Extension
{
	Oid			schema;
	Oid			keys;			/* the table idempotency_keys */
	Oid			owner;			/* of the table: internal statements run as it */
} Extension;

/* Finds the tables beside the SQL function that was called. */
extern Extension find_extension(FunctionCallInfo fcinfo);

#endif							/* IDEMPOTENCY_EXTENSION_H */
