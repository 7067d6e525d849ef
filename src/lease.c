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
#include "key_lock.h"
#include "settings.h"
#include "statements.h"

/* A call by the holder of a token. */
typedef struct HolderCall
{
	Extension	extension;
	KeyId		id;
	int64		token;
	TimestampTz now;
} HolderCall;

/* Reads the arguments that these functions share, and takes the lock. */
static HolderCall
begin_holder_call(FunctionCallInfo fcinfo, int scope)
{
	HolderCall	call;
	LOCKTAG		tag;

	call.id = key_arguments(fcinfo, 0, 1, scope);
	call.token = bigint_argument(fcinfo, 2, "token");
	check_may_write();

	call.extension = find_extension(fcinfo);
	tag = key_lock_tag(&call.id);
	take_key_lock(&tag);
	call.now = read_clock().now;
	return call;
}

/*
 * Runs a statement on the key that the token holds.  The first five
 * parameters are filled in here.
 */
static void
run_as_holder(const HolderCall *call, StatementId statement,
			  Datum *parameters, const char *nulls)
{
	KeyRow		row;

	put_key_parameters(&call->id, parameters);
	parameters[3] = Int64GetDatum(call->token);
	parameters[4] = TimestampTzGetDatum(call->now);
	if (run_statement(&call->extension, statement, parameters, nulls,
					  NULL, NULL) > 0)
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
	int64		lease = duration_argument(fcinfo, 6, "lease", default_lease);
	HolderCall	call = begin_holder_call(fcinfo, 5);
	TimestampTz lease_end = time_after(call.now, lease, "lease");
	Datum		parameters[8];
	char		nulls[] = "        ";

	parameters[5] = TimestampTzGetDatum(lease_end);
	parameters[6] = PointerGetDatum(recovery_point);
	parameters[7] = PG_GETARG_DATUM(4);
	nulls[7] = PG_ARGISNULL(4) ? 'n' : ' ';
	run_as_holder(&call, CHECKPOINT_KEY, parameters, nulls);
	PG_RETURN_TIMESTAMPTZ(lease_end);
}

Datum
idempotency_heartbeat(PG_FUNCTION_ARGS)
{
	int64		lease = duration_argument(fcinfo, 4, "lease", default_lease);
	HolderCall	call = begin_holder_call(fcinfo, 3);
	TimestampTz lease_end = time_after(call.now, lease, "lease");
	Datum		parameters[6];

	parameters[5] = TimestampTzGetDatum(lease_end);
	run_as_holder(&call, HEARTBEAT_KEY, parameters, NULL);
	PG_RETURN_TIMESTAMPTZ(lease_end);
}

Datum
idempotency_release(PG_FUNCTION_ARGS)
{
	HolderCall	call = begin_holder_call(fcinfo, 3);
	Datum		parameters[6] = {0};

	/* the row keeps its expires_at */
	run_as_holder(&call, RELEASE_KEY, parameters, "     n");
	PG_RETURN_VOID();
}
