/*-------------------------------------------------------------------------
 *
 * statements.h
 *	  Every SQL statement that C code runs on the extension's tables.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEMPOTENCY_STATEMENTS_H
#define IDEMPOTENCY_STATEMENTS_H

#include "extension.h"

/* The parameters of each are listed beside its text in statements.c. */
typedef enum StatementId
{
	INSERT_KEY,
	SELECT_KEY,
	RECLAIM_KEY,
	RESUME_KEY,
	COMPLETE_KEY,
	RELEASE_KEY,
	CHECKPOINT_KEY,
	HEARTBEAT_KEY,
	DELETE_KEY,
	LIST_ABANDONED,
	RESUME_ABANDONED,
	NUM_STATEMENTS
} StatementId;

/*
 * Runs a statement on the latest committed state, as the owner of the tables,
 * and returns how many rows it read or wrote.  If columns is given and there
 * was a row, the first one's columns are put there, in the caller's memory
 * context.  nulls, as in SPI, marks the parameters that are NULL.
 */
extern uint64 run_statement(const Extension *extension, StatementId id,
							Datum *parameters, const char *nulls,
							Datum *columns, bool *isnull);

/*
 * The same under the snapshot of the calling query, without writing, which a
 * STABLE function owes its caller.
 */
extern uint64 run_stable_statement(const Extension *extension, StatementId id,
								   Datum *parameters, const char *nulls,
								   Datum *columns, bool *isnull);

/*
 * The same for a statement of many rows: the caller has connected to SPI and
 * reads SPI_tuptable.
 */
extern uint64 run_set_statement(const Extension *extension, StatementId id,
								Datum *parameters, const char *nulls);

#endif							/* IDEMPOTENCY_STATEMENTS_H */
