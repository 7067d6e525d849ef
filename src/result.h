/*-------------------------------------------------------------------------
 *
 * result.h
 *	  Building the rows that the SQL functions return.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEMPOTENCY_RESULT_H
#define IDEMPOTENCY_RESULT_H

#include "funcapi.h"

typedef struct ResultColumn
{
	const char *name;
	Oid			type;
} ResultColumn;

/*
 * Returns the row type of these columns.  It is built once in a session and
 * kept in *cache, since looking it up in the catalogs costs more than the
 * rest of a replay.
 */
extern TupleDesc result_type(const ResultColumn *columns, int ncolumns,
							 TupleDesc *cache);

/* Makes a text datum of a C string. */
extern Datum text_datum(const char *string);

#endif							/* IDEMPOTENCY_RESULT_H */
