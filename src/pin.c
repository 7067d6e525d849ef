/*-------------------------------------------------------------------------
 *
 * pin.c
 *	  The tenant that a role is pinned to.
 *
 * A pin is the setting idempotency.tenant, which only a superuser can set.
 * Two things would still let a pinned role out of it, and are closed here.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/pg_db_role_setting.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"

#include "compat.h"
#include "pin.h"
#include "settings.h"

#define PIN_SETTING "idempotency.tenant"

/*
 * What an administrator sets, and a client must not undo.  (Who undoes
 * idempotency.clock_offset has the clock everybody has.)
 */
static const char *const guarded_settings[] = {
	PIN_SETTING,
	"idempotency.log_outcomes",
};

/*
 * Before the module is loaded, a connection option of a client takes the
 * place of what an administrator has set; when the module then refuses that
 * option, nothing would be left.  Who gave the option counts, not whose rights
 * the code has that loads the module.
 */
void
check_client_options(void)
{
	if (process_shared_preload_libraries_in_progress)
		return;

	for (size_t i = 0; i < lengthof(guarded_settings); i++)
	{
		struct config_generic *placeholder = find_option(guarded_settings[i],
														 false, true, ERROR);

		if (placeholder != NULL &&
			placeholder->reset_source == PGC_S_CLIENT &&
			!superuser_arg(placeholder->reset_srole))
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("permission denied to set parameter \"%s\"",
							guarded_settings[i]),
					 errdetail("The connection was opened with an option that sets it."),
					 errhint("Connect without that option.")));
	}
}

/* Finds the pin among settings of the form name=value; NULL if not there. */
static char *
find_pin(ArrayType *settings)
{
	Datum	   *elements;
	int			nelements;

	deconstruct_array(settings, TEXTOID, -1, false, TYPALIGN_INT,
					  &elements, NULL, &nelements);
	for (int i = 0; i < nelements; i++)
	{
		char	   *setting = TextDatumGetCString(elements[i]);
		char	   *value = strchr(setting, '=');

		if (value == NULL)
			continue;
		*value = '\0';
		if (pg_strcasecmp(setting, PIN_SETTING) == 0)
			return value + 1;
	}
	return NULL;
}

/* Reads the pin that ALTER ROLE gave a role, in a database or in all (0). */
static char *
read_role_pin(Oid database, Oid role)
{
	Relation	catalog = table_open(DbRoleSettingRelationId, AccessShareLock);
	SysScanDesc scan;
	ScanKeyData keys[2];
	HeapTuple	tuple;
	char	   *pin = NULL;

	ScanKeyInit(&keys[0], Anum_pg_db_role_setting_setdatabase,
				BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(database));
	ScanKeyInit(&keys[1], Anum_pg_db_role_setting_setrole,
				BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(role));
	scan = systable_beginscan(catalog, DbRoleSettingDatidRolidIndexId, true,
							  NULL, 2, keys);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		bool		isnull;
		Datum		settings = heap_getattr(tuple,
											Anum_pg_db_role_setting_setconfig,
											RelationGetDescr(catalog), &isnull);

		if (!isnull)
			pin = find_pin(DatumGetArrayTypeP(settings));
	}
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return pin;
}

/*
 * The pin of the role whose code is running, where that is not the session's
 * own: a SECURITY DEFINER function, a materialized view, an index expression.
 * Code that runs with a pinned role's rights keeps that role's pin.
 */
static const char *
code_owner_pin(void)
{
	char	   *pin;

	if (GetUserId() == GetOuterUserId())
		return "";
	pin = read_role_pin(MyDatabaseId, GetUserId());
	if (pin == NULL)
		pin = read_role_pin(InvalidOid, GetUserId());
	return pin == NULL ? "" : pin;
}

const char *
tenant_pin(void)
{
	const char *session = pinned_tenant;
	const char *code_owner = code_owner_pin();

	if (session[0] == '\0')
		return code_owner;
	if (code_owner[0] != '\0' && strcmp(session, code_owner) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for every tenant"),
				 errdetail("The session and the owner of the code it runs are pinned to different tenants."),
				 errhint("Call the function from a role that is pinned to the same tenant, or not at all.")));
	return session;
}
