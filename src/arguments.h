/*-------------------------------------------------------------------------
 *
 * arguments.h
 *	  Reading and checking the arguments of the SQL functions.
 *
 * Each raises an ERROR if its argument is not acceptable.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEMPOTENCY_ARGUMENTS_H
#define IDEMPOTENCY_ARGUMENTS_H

#include "fmgr.h"
#include "utils/jsonb.h"

#include "inbox.h"
#include "key.h"
#include "settings.h"

/* bytes that a tenant, scope or other name may have */
#define MAX_NAME_BYTES 255

/* bytes that a key may have, at four bytes a character */
#define MAX_KEY_BYTES (4 * MAX_KEY_LENGTH)

/* The tenant, which the setting idempotency.tenant may pin. */
extern text *tenant_argument(FunctionCallInfo fcinfo, int n);

/* A key's tenant, scope and key, by their argument numbers. */
extern KeyId key_arguments(FunctionCallInfo fcinfo, int tenant, int key,
						   int scope);

/* An event's tenant, source and id, the first three arguments. */
extern EventId event_arguments(FunctionCallInfo fcinfo);

/* A name; and one that may be NULL. */
extern text *name_argument(FunctionCallInfo fcinfo, int n, const char *name);
extern text *name_or_null_argument(FunctionCallInfo fcinfo, int n,
								   const char *name);

/* Refuses what is no name (IK003): NULL, empty, too long, unprintable. */
extern void check_name(const text *value, const char *name);
extern bool is_name(const text *value);

/* NULL for all tenants, or the only one that the caller may see. */
extern text *tenant_filter(void);

/* A name that is NULL for "all"; the pinned tenant, if that is what it is. */
extern text *tenant_filter_argument(FunctionCallInfo fcinfo, int n);
extern text *scope_filter_argument(FunctionCallInfo fcinfo, int n);

/* Values that must not be NULL. */
extern int64 bigint_argument(FunctionCallInfo fcinfo, int n, const char *name);
extern text *text_argument(FunctionCallInfo fcinfo, int n, const char *name);
extern int32 status_argument(FunctionCallInfo fcinfo, int n);
extern void check_status(int32 status, const char *name);

/* How many to handle at most: not NULL, and at least 1. */
extern int32 count_argument(FunctionCallInfo fcinfo, int n, const char *name);

/* A length of time, or the default if it is NULL; never negative. */
extern int64 duration_argument(FunctionCallInfo fcinfo, int n,
							   const char *name, int64 default_duration);

/* Values that may be NULL. */
extern text *text_or_null_argument(FunctionCallInfo fcinfo, int n);
extern Jsonb *jsonb_argument(FunctionCallInfo fcinfo, int n);
extern bool boolean_argument(FunctionCallInfo fcinfo, int n,
							 bool default_value);

/* Raises 22023, naming the argument. */
pg_noreturn extern void report_bad_argument(const char *name,
											const char *problem,
											const char *hint);

/* Refuses to write in a read-only transaction or on a standby (25006). */
extern void check_may_write(void);

#endif							/* IDEMPOTENCY_ARGUMENTS_H */
