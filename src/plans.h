/*-------------------------------------------------------------------------
 *
 * plans.h
 *	  Running the statements that statements.h lists.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEMPOTENCY_PLANS_H
#define IDEMPOTENCY_PLANS_H

#include "executor/spi.h"

#include "parameters.h"

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

/* Returns a column, counted from 1, of such a row, that is never null. */
extern Datum datum_column(const SPITupleTable *table, uint64 row, int column);

/* Returns a text column; NULL if it is null. */
extern text *text_column(const SPITupleTable *table, uint64 row, int column);

#endif							/* IDEMPOTENCY_PLANS_H */
