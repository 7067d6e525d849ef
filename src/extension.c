/*-------------------------------------------------------------------------
 *
 * extension.c
 *	  Where the extension's tables are, and who owns them.
 *
 * The tables are looked up in the schema of the function that was called,
 * never through search_path.  Nothing is remembered between calls, so DROP
 * and CREATE EXTENSION in an open session need no care here.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "extension.h"

static const char *const table_names[NUM_TABLES] = {
	[KEYS_TABLE] = "idempotency_keys",
	[INBOX_TABLE] = "webhook_inbox",
};

/* Returns the owner of a table. */
static Oid
table_owner(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", relid);
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return owner;
}

Extension
find_extension(FunctionCallInfo fcinfo, TableId table_id)
{
	Extension	extension = {.table_id = table_id};

	extension.schema = get_func_namespace(fcinfo->flinfo->fn_oid);
	extension.table = get_relname_relid(table_names[table_id],
										extension.schema);
	if (!OidIsValid(extension.table))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("table \"%s\" does not exist beside the function that needs it",
						table_names[table_id]),
				 errdetail("The extension \"idempotency\" is damaged, or the function is not its own."),
				 errhint("Call the functions that CREATE EXTENSION made.")));
	extension.owner = table_owner(extension.table);
	return extension;
}

Oid
find_type(const Extension *extension, const char *name)
{
	return GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid,
						   CStringGetDatum(name),
						   ObjectIdGetDatum(extension->schema));
}
