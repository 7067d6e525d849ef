/*-------------------------------------------------------------------------
 *
 * forget.c
 *	  Deleting a key.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "arguments.h"
#include "compat.h"
#include "lock.h"
#include "plans.h"

PG_FUNCTION_INFO_V1(idempotency_forget);

Datum
idempotency_forget(PG_FUNCTION_ARGS)
{
	KeyId		id = key_arguments(fcinfo, 0, 1, 2);
	LOCKTAG		tag = key_lock_tag(&id);
	Extension	extension;
	Parameters	parameters = {0};

	check_may_write();
	extension = find_extension(fcinfo, KEYS_TABLE);
	(void) take_optional_lock(&tag, ExclusiveLock);
	add_key(&parameters, &id);
	PG_RETURN_BOOL(run_statement(&extension, DELETE_KEY, &parameters,
								 NULL, NULL) > 0);
}
