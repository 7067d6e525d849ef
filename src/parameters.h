/*-------------------------------------------------------------------------
 *
 * parameters.h
 *	  The parameters of a statement.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEMPOTENCY_PARAMETERS_H
#define IDEMPOTENCY_PARAMETERS_H

#include "datatype/timestamp.h"

#include "inbox.h"
#include "key.h"
#include "statements.h"

/* The parameters of a statement, in its order. */
typedef struct Parameters
{
	int			count;
	Datum		values[MAX_PARAMETERS];
	char		nulls[MAX_PARAMETERS];	/* as SPI wants them */
} Parameters;

/* Adds the three that every statement on one key starts with. */
extern void add_key(Parameters *parameters, const KeyId *id);

/* Adds the three that every statement on one event starts with. */
extern void add_event(Parameters *parameters, const EventId *id);

/* Adds one by its type; for a pointer, NULL is the SQL null. */
extern void add_integer(Parameters *parameters, int32 value);
extern void add_bigint(Parameters *parameters, int64 value);
extern void add_boolean(Parameters *parameters, bool value);
extern void add_time(Parameters *parameters, TimestampTz value);
extern void add_interval(Parameters *parameters, int64 duration);
extern void add_string(Parameters *parameters, const char *value);
extern void add_pointer(Parameters *parameters, const void *value);
extern void add_null(Parameters *parameters);

/* Adds an array of texts, none of them NULL. */
extern void add_texts(Parameters *parameters, Datum *values, int count);

/* Adds an array of the places of rows (ctid). */
extern void add_places(Parameters *parameters, Datum *values, int count);

#endif							/* IDEMPOTENCY_PARAMETERS_H */
