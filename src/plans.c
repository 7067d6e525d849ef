/*-------------------------------------------------------------------------
 *
 * plans.c
 *	  Running the statements that statements.h lists.
 *
 * Each statement is prepared once in a session and kept.  A kept plan belongs
 * to one table: when DROP and CREATE EXTENSION have put another in its place,
 * the plans for the old one are thrown away.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/spi.h"
#include "jit/jit.h"
#include "miscadmin.h"
#include "optimizer/cost.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/plancache.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "plans.h"
#include "trust.h"

static SPIPlanPtr plans[NUM_STATEMENTS];

/* the tables that the kept plans are for */
static Oid	planned_tables[NUM_TABLES];

/* how many of our statements are running, one inside the other's trigger */
static int	depth;

/* Forgets a plan.  One that an outer statement may be running isn't freed. */
static void
discard_plan(StatementId id)
{
	if (plans[id] != NULL && depth == 1)
		SPI_freeplan(plans[id]);
	plans[id] = NULL;
}

/* Turns to another table, once it has shown to be ours. */
static void
adopt_table(const Extension *extension)
{
	Oid		   *planned_table = &planned_tables[extension->table_id];

	if (*planned_table == extension->table)
		return;

	check_table_is_ours(extension);
	for (int id = 0; id < NUM_STATEMENTS; id++)
	{
		if (statements[id].table_id == extension->table_id)
			discard_plan(id);
	}
	*planned_table = extension->table;
}

/* Returns how many parameters a statement has. */
static int
count_types(StatementId id)
{
	int			count = 0;

	while (OidIsValid(statements[id].types[count]))
		count++;
	return count;
}

/* Prepares a statement and keeps its plan. */
static void
prepare_statement(const Extension *extension, StatementId id)
{
	const Statement *statement = &statements[id];
	char	   *schema = get_namespace_name(extension->schema);
	char	   *table = get_rel_name(extension->table);
	char	   *text;
	Oid			types[MAX_PARAMETERS + 1];
	SPIPlanPtr	plan;

	if (schema == NULL || table == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("extension \"idempotency\" was dropped during the call"),
				 errdetail("Its table is gone."),
				 errhint("Create the extension again.")));
	text = psprintf(statement->text, quote_qualified_identifier(schema, table));
	memcpy(types, statement->types, sizeof(types));
	plan = SPI_prepare_cursor(text, count_types(id), types,
							  CURSOR_OPT_GENERIC_PLAN);
	if (plan == NULL)
		elog(ERROR, "SPI_prepare_cursor returned %s for %s",
			 SPI_result_code_string(SPI_result), text);
	SPI_keepplan(plan);
	plans[id] = plan;
}

/*
 * Returns the kept plan of a statement, or makes one.
 *
 * A plan that ALTER TABLE or a renamed schema made invalid is prepared anew
 * from its text, which may have to name the schema differently by now.  So is
 * one that has followed the name to another table.
 */
static SPIPlanPtr
fetch_plan(const Extension *extension, StatementId id)
{
	adopt_table(extension);

	for (int attempt = 1; attempt <= 2; attempt++)
	{
		if (plans[id] != NULL && !SPI_plan_is_valid(plans[id]))
			discard_plan(id);
		if (plans[id] == NULL)
			prepare_statement(extension, id);
		if (is_plan_for_table(plans[id], extension))
			return plans[id];
		discard_plan(id);
	}
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("the extension's schema was renamed during the call"),
			 errdetail("Its table has another name by now."),
			 errhint("Try again.")));
	return NULL;				/* keep the compiler quiet */
}

/*
 * The planner's methods other than an index scan and a nested loop; and JIT,
 * which takes longer than any of our statements.  (A sort that is switched off
 * but can't be avoided raises a plan's cost far enough to start JIT.)
 */
static bool *const other_methods[] = {&enable_seqscan, &enable_bitmapscan,
&enable_sort, &enable_hashjoin, &enable_mergejoin, &jit_enabled};

/* Switches them off, after keeping what they were. */
static void
forbid_other_methods(bool *saved)
{
	for (size_t i = 0; i < lengthof(other_methods); i++)
	{
		saved[i] = *other_methods[i];
		*other_methods[i] = false;
	}
}

/* Switches them on again. */
static void
restore_other_methods(const bool *saved)
{
	for (size_t i = 0; i < lengthof(other_methods); i++)
		*other_methods[i] = saved[i];
}

/* what a plan costs at least that Citus says not to use */
#define UNUSABLE_COST 1e30

/*
 * Chooses between the kept plan and one made for the parameters' values.
 *
 * Citus can't make a plan of every statement on a distributed table before it
 * knows the tenant.  It says so by the plan's cost.
 */
static int
choose_mode(SPIPlanPtr plan)
{
	CachedPlan *cached = SPI_plan_get_cached_plan(plan);
	int			mode = PLAN_CACHE_MODE_FORCE_GENERIC_PLAN;
	ListCell   *cell;

	/* a rule may have put others in a statement's place, or none */
	foreach(cell, cached->stmt_list)
	{
		Plan	   *tree = lfirst_node(PlannedStmt, cell)->planTree;

		if (tree != NULL && tree->total_cost >= UNUSABLE_COST)
			mode = PLAN_CACHE_MODE_FORCE_CUSTOM_PLAN;
	}
	ReleaseCachedPlan(cached, CurrentResourceOwner);
	return mode;
}

/*
 * Runs a statement as the owner of the table, under the given snapshot, or
 * under the active one without writing if there is none.
 *
 * The plan has to use the index made for the statement.  One made while the
 * table was small would read all of it, and go on doing so until the next
 * ANALYZE, however fast the table grows; under SERIALIZABLE such a plan
 * conflicts with every other transaction.  So other methods are switched off
 * while the planner may run, and the plan it makes then is the one that runs,
 * whatever the session's plan_cache_mode.
 */
static uint64
execute_statement(const Extension *extension, StatementId id,
				  Parameters *parameters, Snapshot snapshot)
{
	bool		read_only = (snapshot == InvalidSnapshot);
	Oid			saved_user;
	int			saved_context;
	int			saved_mode = plan_cache_mode;
	int			result;
	bool		other[lengthof(other_methods)];

	Assert(statements[id].table_id == extension->table_id);
	Assert(parameters->count == count_types(id));

	GetUserIdAndSecContext(&saved_user, &saved_context);
	SetUserIdAndSecContext(extension->owner,
						   saved_context | SECURITY_LOCAL_USERID_CHANGE |
						   SECURITY_NOFORCE_RLS);
	depth++;
	forbid_other_methods(other);
	plan_cache_mode = PLAN_CACHE_MODE_FORCE_GENERIC_PLAN;
	PG_TRY();
	{
		SPIPlanPtr	plan = fetch_plan(extension, id);

		restore_other_methods(other);
		check_triggers(extension);
		plan_cache_mode = choose_mode(plan);
		result = SPI_execute_snapshot(plan, parameters->values,
									  parameters->nulls, snapshot,
									  InvalidSnapshot, read_only, true, 0);
	}
	PG_CATCH();
	{
		restore_other_methods(other);
		plan_cache_mode = saved_mode;
		depth--;
		PG_RE_THROW();
	}
	PG_END_TRY();
	plan_cache_mode = saved_mode;
	depth--;
	SetUserIdAndSecContext(saved_user, saved_context);

	if (result < 0)
		elog(ERROR, "SPI_execute_snapshot returned %s",
			 SPI_result_code_string(result));
	return SPI_processed;
}

/* Runs a statement in an SPI connection of its own. */
static uint64
connect_and_execute(const Extension *extension, StatementId id,
					Parameters *parameters, Snapshot snapshot,
					Datum *columns, bool *isnull)
{
	MemoryContext caller = CurrentMemoryContext;
	uint64		processed;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	processed = execute_statement(extension, id, parameters, snapshot);

	if (columns != NULL && processed > 0)
	{
		SPITupleTable *table = SPI_tuptable;
		MemoryContext connected = MemoryContextSwitchTo(caller);

		heap_deform_tuple(heap_copytuple(table->vals[0]), table->tupdesc,
						  columns, isnull);
		MemoryContextSwitchTo(connected);
	}
	SPI_finish();
	return processed;
}

uint64
run_statement(const Extension *extension, StatementId id,
			  Parameters *parameters, Datum *columns, bool *isnull)
{
	return connect_and_execute(extension, id, parameters, GetLatestSnapshot(),
							   columns, isnull);
}

uint64
run_stable_statement(const Extension *extension, StatementId id,
					 Parameters *parameters, Datum *columns, bool *isnull)
{
	return connect_and_execute(extension, id, parameters, InvalidSnapshot,
							   columns, isnull);
}

uint64
run_set_statement(const Extension *extension, StatementId id,
				  Parameters *parameters)
{
	return execute_statement(extension, id, parameters, GetLatestSnapshot());
}

Datum
datum_column(const SPITupleTable *table, uint64 row, int column)
{
	bool		isnull;

	return SPI_getbinval(table->vals[row], table->tupdesc, column, &isnull);
}

text *
text_column(const SPITupleTable *table, uint64 row, int column)
{
	bool		isnull;
	Datum		value = SPI_getbinval(table->vals[row], table->tupdesc, column,
									  &isnull);

	return isnull ? NULL : DatumGetTextPP(value);
}
