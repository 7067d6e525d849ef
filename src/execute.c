/*-------------------------------------------------------------------------
 *
 * execute.c
 *	  The whole protocol in one call: claim, run a handler, complete.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "utils/lsyscache.h"

#include "arguments.h"
#include "claim.h"
#include "compat.h"
#include "complete.h"
#include "handler.h"
#include "result.h"
#include "settings.h"

/* the composite type that a handler may return, beside jsonb */
#define RESPONSE_TYPE "idempotency_response"

#define HANDLER_SIGNATURE \
	"(request jsonb) that returns jsonb or " RESPONSE_TYPE

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

/* Checks a handler: it takes jsonb, and returns that or a response. */
static void
check_execute_handler(Oid handler, const Extension *extension)
{
	Oid			returned;

	check_handler(handler, JSONBOID, HANDLER_SIGNATURE);
	returned = get_func_rettype(handler);
	if (returned != JSONBOID && returned != find_type(extension, RESPONSE_TYPE))
		report_bad_handler("returns the wrong type", HANDLER_SIGNATURE);
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

/* Runs the handler and takes its response. */
static Response
run_handler(Oid handler, Jsonb *request)
{
	Response	response = {.status = DEFAULT_STATUS};
	Datum		result;

	if (!call_handler(handler, JsonbPGetDatum(request), request == NULL,
					  &result))
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
	check_execute_handler(handler, extension);
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

	extension = find_extension(fcinfo, KEYS_TABLE);
	handler = handler_argument(fcinfo, 3, HANDLER_SIGNATURE);
	check_execute_handler(handler, &extension);
	memset(isnull, true, sizeof(isnull));
	execute(&extension, &request, handler,
			PG_ARGISNULL(5) ? NULL : &request.ttl, values, isnull);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(result_type(execute_columns, NUM_EXECUTE_COLUMNS, &type),
													  values, isnull)));
}
