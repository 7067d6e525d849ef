/*-------------------------------------------------------------------------
 *
 * holder.c
 *	  Statements that only the holder of a key's current token may run.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "holder.h"
#include "lock.h"

HolderCall
begin_holder_call(const Extension *extension, const KeyId *id, int64 token)
{
	HolderCall	call = {.extension = *extension,.id = *id,.token = token};
	LOCKTAG		tag = key_lock_tag(id);

	(void) take_optional_lock(&tag, ExclusiveLock);
	call.now = read_clock().now;
	return call;
}

void
add_holder(Parameters *parameters, const HolderCall *call)
{
	add_key(parameters, &call->id);
	add_bigint(parameters, call->token);
	add_time(parameters, call->now);
}

bool
run_as_holder(const HolderCall *call, StatementId statement,
			  Parameters *parameters)
{
	return run_statement(&call->extension, statement, parameters,
						 NULL, NULL) > 0;
}
