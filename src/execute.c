/*-------------------------------------------------------------------------
 *
 * execute.c
 *	  The whole protocol in one call: claim, run a handler, complete.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "arguments.h"
#include "claim.h"
#include "compat.h"
#include "complete.h"
#include "result.h"
#include "settings.h"

/* the composite type that a handler may return, beside jsonb */
#define RESPONSE_TYPE "idempotency_response"

/* the status where the handler gives none */
#define DEFAULT_STATUS 200

/* The columns of idempotency_execute's result. */
enum ExecuteColumn
{
	EXECUTE_OUTCOME,
	EXECUTE_RESPONSE_STATUS,
	EXECUTE_RESPONSE_HEADERS,
	EXECUTE_RESPONSE_BODY,
	EXECUTE_RESPONSE_BYTES,
	EXECUTE_RETRY_AFTER,
	NUM_EXECUTE_COLUMNS
};

static const ResultColumn execute_columns[NUM_EXECUTE_COLUMNS] = {
	[EXECUTE_OUTCOME] = {"outcome", TEXTOID},
	[EXECUTE_RESPONSE_STATUS] = {"response_status", INT4OID},
	[EXECUTE_RESPONSE_HEADERS] = {"response_headers", JSONBOID},
	[EXECUTE_RESPONSE_BODY] = {"response_body", TEXTOID},
	[EXECUTE_RESPONSE_BYTES] = {"response_bytes", BYTEAOID},
	[EXECUTE_RETRY_AFTER] = {"retry_after", INT4OID},
};

/* Returns the response type that lies beside the extension's functions. */
static Oid
response_type(const Extension *extension)
{
	return GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid,
						   CStringGetDatum(RESPONSE_TYPE),
						   ObjectIdGetDatum(extension->schema));
}

static void
report_bad_handler(const char *problem)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("handler %s", problem),
			 errdetail("A handler is a function (request jsonb) that returns jsonb or %s.",
					   RESPONSE_TYPE),
			 errhint("Pass something like 'create_order(jsonb)'::regprocedure.")));
}

/* Checks that a handler exists and has the right signature. */
static void
check_handler_signature(Oid handler, Oid response)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(handler));
	Form_pg_proc proc;

	if (!HeapTupleIsValid(tuple))
		report_bad_handler("does not exist");
	proc = (Form_pg_proc) GETSTRUCT(tuple);
	if (proc->prokind != PROKIND_FUNCTION || proc->proretset)
		report_bad_handler("is not a plain function");
	if (proc->pronargs != 1 || proc->proargtypes.values[0] != JSONBOID)
		report_bad_handler("does not take one jsonb argument");
	if (proc->prorettype != JSONBOID && proc->prorettype != response)
		report_bad_handler("returns the wrong type");
	ReleaseSysCache(tuple);
}

/* Checks a handler, and that the caller may execute it. */
static void
check_handler(Oid handler, const Extension *extension)
{
	AclResult	result;

	check_handler_signature(handler, response_type(extension));

	result = object_aclcheck(ProcedureRelationId, handler, GetUserId(),
							 ACL_EXECUTE);
	if (result != ACLCHECK_OK)
		aclcheck_error(result, OBJECT_FUNCTION, get_func_name(handler));
}

/* Takes the response out of the composite value that a handler returned. */
static void
read_composite_response(Datum value, Response *response)
{
	HeapTupleHeader tuple = DatumGetHeapTupleHeader(value);
	Datum		column;
	bool		isnull;

	column = GetAttributeByName(tuple, "status", &isnull);
	if (!isnull)
		response->status = DatumGetInt32(column);
	column = GetAttributeByName(tuple, "headers", &isnull);
	if (!isnull)
		response->headers = DatumGetJsonbP(column);
	column = GetAttributeByName(tuple, "body", &isnull);
	if (!isnull)
		response->body = DatumGetTextPP(column);
	check_status(response->status, "status");
}

/*
 * Runs the handler as the caller, outside any SPI connection and with the
 * caller's search_path, just as the caller's own SELECT would.
 */
static Response
run_handler(Oid handler, Jsonb *request)
{
	LOCAL_FCINFO(call, 1);
	FmgrInfo	function;
	Response	response = {.status = DEFAULT_STATUS};
	Datum		result;

	InvokeFunctionExecuteHook(handler);
	fmgr_info(handler, &function);
	InitFunctionCallInfoData(*call, &function, 1, InvalidOid, NULL, NULL);
	call->args[0].value = JsonbPGetDatum(request);
	call->args[0].isnull = (request == NULL);
	if (request == NULL && function.fn_strict)
		return response;

	result = FunctionCallInvoke(call);
	if (call->isnull)
		return response;
	if (get_func_rettype(handler) == JSONBOID)
		response.body = jsonb_body(DatumGetJsonbP(result));
	else
		read_composite_response(result, &response);
	return response;
}

static void
put_pointer_column(int column, const void *pointer,
				   Datum *values, bool *isnull)
{
	values[column] = PointerGetDatum(pointer);
	isnull[column] = (pointer == NULL);
}

static void
fill_executed(const Response *response, Datum *values, bool *isnull)
{
	values[EXECUTE_OUTCOME] = text_datum("executed");
	values[EXECUTE_RESPONSE_STATUS] = Int32GetDatum(response->status);
	isnull[EXECUTE_OUTCOME] = isnull[EXECUTE_RESPONSE_STATUS] = false;
	put_pointer_column(EXECUTE_RESPONSE_HEADERS, response->headers,
					   values, isnull);
	put_pointer_column(EXECUTE_RESPONSE_BODY, response->body, values, isnull);
}

/* Fills the answer that needed no handler. */
static void
fill_answered(const Claim *claim, Datum *values, bool *isnull)
{
	static const struct
	{
		KeyColumn	from;
		int			to;
	}			stored[] = {
		{KEY_RESPONSE_STATUS, EXECUTE_RESPONSE_STATUS},
		{KEY_RESPONSE_HEADERS, EXECUTE_RESPONSE_HEADERS},
		{KEY_RESPONSE_BODY, EXECUTE_RESPONSE_BODY},
		{KEY_RESPONSE_BYTES, EXECUTE_RESPONSE_BYTES},
	};

	values[EXECUTE_OUTCOME] = text_datum(outcome_name(claim->outcome));
	isnull[EXECUTE_OUTCOME] = false;
	if (claim->outcome == OUTCOME_REPLAY)
	{
		for (size_t i = 0; i < lengthof(stored); i++)
		{
			values[stored[i].to] = claim->row.values[stored[i].from];
			isnull[stored[i].to] = claim->row.isnull[stored[i].from];
		}
		return;
	}

	values[EXECUTE_RESPONSE_STATUS] =
		Int32GetDatum(outcome_status(claim->outcome));
	isnull[EXECUTE_RESPONSE_STATUS] = false;
	if (claim->outcome == OUTCOME_IN_PROGRESS)
	{
		values[EXECUTE_RETRY_AFTER] = Int32GetDatum(claim->retry_after);
		isnull[EXECUTE_RETRY_AFTER] = false;
	}
}

/*
 * Claims, and does the work if the claim says so.
 *
 * The claim has already seen to it that the row lives as long as ttl says.
 * Only a response that would be kept for another time needs it again.
 */
static void
execute(const Extension *extension, const ClaimRequest *request, Oid handler,
		const int64 *ttl, Datum *values, bool *isnull)
{
	Claim		claim;
	Response	response;

	claim_key(extension, request, &claim);
	if (claim.outcome != OUTCOME_CLAIMED && claim.outcome != OUTCOME_RESUMED)
	{
		fill_answered(&claim, values, isnull);
		return;
	}

	/* it may have changed while the claim waited */
	check_handler(handler, extension);
	response = run_handler(handler, request->request);
	(void) complete_key(extension, &request->id, claim.token, &response,
						response.status < 400 ? NULL : ttl);
	fill_executed(&response, values, isnull);
}

PG_FUNCTION_INFO_V1(idempotency_execute);

Datum
idempotency_execute(PG_FUNCTION_ARGS)
{
	static TupleDesc type;
	ClaimRequest request = {0};
	Extension	extension;
	Oid			handler;
	Datum		values[NUM_EXECUTE_COLUMNS] = {0};
	bool		isnull[NUM_EXECUTE_COLUMNS];

	request.id = key_arguments(fcinfo, 0, 1, 4);
	request.request = jsonb_argument(fcinfo, 2);
	request.lease = default_lease;
	request.ttl = duration_argument(fcinfo, 5, "ttl", success_ttl);
	request.wait = duration_argument(fcinfo, 6, "wait", default_wait);
	check_may_write();

	extension = find_extension(fcinfo);
	if (PG_ARGISNULL(3))
		report_bad_handler("must not be null");
	handler = PG_GETARG_OID(3);
	check_handler(handler, &extension);
	memset(isnull, true, sizeof(isnull));
	execute(&extension, &request, handler,
			PG_ARGISNULL(5) ? NULL : &request.ttl, values, isnull);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(result_type(execute_columns, NUM_EXECUTE_COLUMNS, &type),
													  values, isnull)));
}
