/*-------------------------------------------------------------------------
 *
 * lease.c
 *	  What the holder of a claim may do with it short of completing it:
 *	  record a checkpoint, extend the lease, give the key back.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "arguments.h"
#include "compat.h"
#include "holder.h"
#include "settings.h"
#include "stats.h"

/* Reads the arguments that these functions share, and begins the call. */
static HolderCall
begin_call_from_arguments(FunctionCallInfo fcinfo, int scope)
{
	KeyId		id = key_arguments(fcinfo, 0, 1, scope);
	int64		token = bigint_argument(fcinfo, 2, "token");
	Extension	extension;

	check_may_write();
	extension = find_extension(fcinfo, KEYS_TABLE);
	return begin_holder_call(&extension, &id, token);
}

/* Runs a statement as the holder; an ERROR if the token isn't the key's. */
static void
run_or_refuse(const HolderCall *call, StatementId statement,
			  Parameters *parameters)
{
	KeyRow		row;

	if (run_as_holder(call, statement, parameters))
		return;
	if (!read_key(&call->extension, &call->id, &row))
		report_refused_token(NULL, call->token, call->now);
	report_refused_token(&row, call->token, call->now);
}

PG_FUNCTION_INFO_V1(idempotency_checkpoint);
PG_FUNCTION_INFO_V1(idempotency_heartbeat);
PG_FUNCTION_INFO_V1(idempotency_release);

Datum
idempotency_checkpoint(PG_FUNCTION_ARGS)
{
	text	   *recovery_point = text_argument(fcinfo, 3, "recovery_point");
	Jsonb	   *recovery_data = jsonb_argument(fcinfo, 4);
	int64		lease = duration_argument(fcinfo, 6, "lease", default_lease);
	HolderCall	call = begin_call_from_arguments(fcinfo, 5);
	TimestampTz lease_end = time_after(call.now, lease, "lease");
	Parameters	parameters = {0};

	add_holder(&parameters, &call);
	add_time(&parameters, lease_end);
	add_pointer(&parameters, recovery_point);
	add_pointer(&parameters, recovery_data);
	run_or_refuse(&call, CHECKPOINT_KEY, &parameters);
	PG_RETURN_TIMESTAMPTZ(lease_end);
}

Datum
idempotency_heartbeat(PG_FUNCTION_ARGS)
{
	int64		lease = duration_argument(fcinfo, 4, "lease", default_lease);
	HolderCall	call = begin_call_from_arguments(fcinfo, 3);
	TimestampTz lease_end = time_after(call.now, lease, "lease");
	Parameters	parameters = {0};

	add_holder(&parameters, &call);
	add_time(&parameters, lease_end);
	run_or_refuse(&call, HEARTBEAT_KEY, &parameters);
	PG_RETURN_TIMESTAMPTZ(lease_end);
}

Datum
idempotency_release(PG_FUNCTION_ARGS)
{
	HolderCall	call = begin_call_from_arguments(fcinfo, 3);
	Parameters	parameters = {0};

	add_holder(&parameters, &call);
	add_null(&parameters);		/* the row keeps its expires_at */
	run_or_refuse(&call, RELEASE_KEY, &parameters);
	add_to_stats(COUNT_RELEASED, 1);
	PG_RETURN_VOID();
}
