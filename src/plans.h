/*-------------------------------------------------------------------------
 *
 * plans.h
 *	  Running the statements that statements.h lists.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEMPOTENCY_PLANS_H
#define IDEMPOTENCY_PLANS_H

#include "datatype/timestamp.h"
#include "utils/array.h"

#include "extension.h"
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

/*
 * Runs a statement on the latest committed state, as the owner of the table,
 * and returns how many rows it read or wrote.  If columns is given and there
 * was a row, the first one's columns are put there, in the caller's memory
 * context.
 */
extern uint64 run_statement(const Extension *extension, StatementId id,
							Parameters *parameters,
							Datum *columns, bool *isnull);

/*
 * The same under the snapshot of the calling query, without writing, which a
 * STABLE function owes its caller.
 */
extern uint64 run_stable_statement(const Extension *extension, StatementId id,
								   Parameters *parameters,
								   Datum *columns, bool *isnull);

/*
 * The same for a statement of many rows: the caller has connected to SPI and
 * reads SPI_tuptable.
 */
extern uint64 run_set_statement(const Extension *extension, StatementId id,
								Parameters *parameters);

#endif							/* IDEMPOTENCY_PLANS_H */
