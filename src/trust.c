/*-------------------------------------------------------------------------
 *
 * trust.c
 *	  What must be so for a statement to be run as the owner of the table.
 *
 * That owner is usually a superuser.  Whoever could slip a table, a view or a
 * trigger under our statements would be one, too.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/dependency.h"
#include "catalog/pg_class.h"
#include "commands/extension.h"
#include "utils/lsyscache.h"
#include "utils/plancache.h"
#include "utils/rel.h"
#include "utils/relcache.h"
#include "utils/syscache.h"

#include "compat.h"
#include "trust.h"

void
check_table_is_ours(const Extension *extension)
{
	if (getExtensionOfObject(RelationRelationId, extension->table) !=
		get_extension_oid("idempotency", false))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("table \"%s\" does not belong to the extension",
						get_rel_name(extension->table)),
				 errdetail("The function that was called lies in another schema than the extension."),
				 errhint("Call the functions that CREATE EXTENSION made.")));
}

/* Returns the owner of a function. */
static Oid
function_owner(Oid function)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", function);
	owner = ((Form_pg_proc) GETSTRUCT(tuple))->proowner;
	ReleaseSysCache(tuple);
	return owner;
}

/*
 * A trigger runs as whoever runs the statement, here the owner of the table.
 * Who merely has the TRIGGER privilege, which GRANT ALL includes, must not
 * make use of that.
 */
void
check_triggers(const Extension *extension)
{
	Relation	table = RelationIdGetRelation(extension->table);
	TriggerDesc *triggers;

	if (!RelationIsValid(table))
		elog(ERROR, "could not open relation with OID %u", extension->table);

	triggers = table->trigdesc;
	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
	{
		Trigger    *trigger = &triggers->triggers[i];

		if (!trigger->tgisinternal &&
			function_owner(trigger->tgfoid) != table->rd_rel->relowner)
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("trigger \"%s\" on table \"%s\" is not its owner's",
							trigger->tgname, RelationGetRelationName(table)),
					 errdetail("The function it executes belongs to another role, and would run with the owner's rights."),
					 errhint("Drop the trigger, and revoke TRIGGER on the table.")));
	}
	RelationClose(table);
}

/*
 * A plan is made from text, which names the table.  When that name is taken
 * from the table and given to another while we run, by renaming the schema,
 * the plan would follow the name.
 *
 * Asking for the plan brings it up to date and locks its table, so that the
 * execution that follows finds it as it is.
 */
bool
is_plan_for_table(SPIPlanPtr plan, const Extension *extension)
{
	CachedPlan *cached = SPI_plan_get_cached_plan(plan);
	CachedPlanSource *source = linitial(SPI_plan_get_plan_sources(plan));
	ListCell   *cell;

	ReleaseCachedPlan(cached, CurrentResourceOwner);
	foreach(cell, source->relationOids)
	{
		if (lfirst_oid(cell) != extension->table)
			return false;
	}
	return true;
}
