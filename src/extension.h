/*-------------------------------------------------------------------------
 *
 * extension.h
 *	  Where the extension's tables are, and who owns them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEMPOTENCY_EXTENSION_H
#define IDEMPOTENCY_EXTENSION_H

#include "fmgr.h"

typedef enum TableId
{
	KEYS_TABLE,
	INBOX_TABLE,
	NUM_TABLES
} TableId;

/* The extension, as a function that works on one of its tables sees it. */
typedef struct Extension
{
	Oid			schema;
	TableId		table_id;
	Oid			table;
	Oid			owner;			/* of the table: internal statements run as it */
} Extension;

/* Finds the table beside the SQL function that was called. */
extern Extension find_extension(FunctionCallInfo fcinfo, TableId table_id);

/* Returns the type of that name beside the tables; 0 if there is none. */
extern Oid	find_type(const Extension *extension, const char *name);

#endif							/* IDEMPOTENCY_EXTENSION_H */
