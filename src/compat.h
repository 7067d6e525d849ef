/*-------------------------------------------------------------------------
 *
 * compat.h
 *	  Differences between PostgreSQL 15 and 18, under the newer one's names.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEMPOTENCY_COMPAT_H
#define IDEMPOTENCY_COMPAT_H

#include "catalog/pg_proc.h"
#include "fmgr.h"
#include "storage/lock.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/guc_tables.h"
#include "utils/timestamp.h"

#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

/*
 * The module is compiled with hidden symbols, so that its internal functions
 * can't meet those of another extension.  Before 16, what must stay visible
 * is not marked by the server's own macro.
 */
#if PG_VERSION_NUM < 160000
#undef PGDLLEXPORT
#define PGDLLEXPORT __attribute__((visibility("default")))

#undef PG_FUNCTION_INFO_V1
#define PG_FUNCTION_INFO_V1(function) \
extern PGDLLEXPORT Datum function(PG_FUNCTION_ARGS); \
extern PGDLLEXPORT const Pg_finfo_record *pg_finfo_##function(void); \
const Pg_finfo_record * \
pg_finfo_##function(void) \
{ \
	static const Pg_finfo_record version = {1}; \
	return &version; \
} \
extern int	no_such_variable

#define object_aclcheck(classid, objectid, roleid, mode) \
	pg_proc_aclcheck(objectid, roleid, mode)
#define guc_malloc(elevel, size) malloc(size)
#define guc_free(ptr) free(ptr)

static inline struct config_generic *
find_option(const char *name, bool create_placeholders, bool skip_errors,
			int elevel)
{
	struct config_generic **variables = get_guc_variables();
	int			count = GetNumConfigOptions();

	for (int i = 0; i < count; i++)
	{
		if (pg_strcasecmp(variables[i]->name, name) == 0)
			return variables[i];
	}
	return NULL;
}
#endif

/* Intervals can't be infinite before 17. */
#if PG_VERSION_NUM < 170000
#define INTERVAL_NOT_FINITE(interval) ((void) (interval), false)

/* Nor can a stronger lock be asked for. */
#define LockHeldByMe(tag, mode, orstronger) LockHeldByMe(tag, mode)
#endif

/* The field of a PGPROC that has the local transaction id moved in 17. */
#if PG_VERSION_NUM < 170000
#define MY_LXID lxid
#else
#define MY_LXID vxid.lxid
#endif

/* The module can't tell its name and version before 18. */
#if PG_VERSION_NUM < 180000
#define PG_MODULE_MAGIC_EXT(...) PG_MODULE_MAGIC
#endif

/* What marks a function that does not return comes first since 18. */
#ifndef pg_noreturn
#define pg_noreturn pg_attribute_noreturn()
#endif

#endif							/* IDEMPOTENCY_COMPAT_H */
