/*-------------------------------------------------------------------------
 *
 * trust.h
 *	  What must be so for a statement to be run as the owner of the table.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEMPOTENCY_TRUST_H
#define IDEMPOTENCY_TRUST_H

#include "executor/spi.h"

#include "extension.h"

/* The table is the extension's own; an ERROR if not. */
extern void check_table_is_ours(const Extension *extension);

/*
 * Tells whether a plan is for that table and nothing else.  The plan is up to
 * date and its locks are held when this returns.
 */
extern bool is_plan_for_table(SPIPlanPtr plan, const Extension *extension);

/*
 * What the table's triggers run is its owner's; an ERROR if not.  The table
 * must be locked.
 */
extern void check_triggers(const Extension *extension);

#endif							/* IDEMPOTENCY_TRUST_H */
