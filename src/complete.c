/*-------------------------------------------------------------------------
 *
 * complete.c
 *	  Completing a key.
 *
 * In the common case that is one UPDATE that changes no indexed column: the
 * row was given its expires_at when it was claimed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/builtins.h"

#include "arguments.h"
#include "compat.h"
#include "complete.h"
#include "holder.h"
#include "response.h"
#include "settings.h"
#include "stats.h"

#define COMPLETED "completed"
#define RELEASED "released"

/* Adds the new expires_at, or NULL where the claim's is to stay. */
static void
add_expiry(Parameters *parameters, const HolderCall *call,
		   const Response *response, const int64 *ttl)
{
	bool		is_error = response->status >= 400 &&
		!is_retryable_status(response->status);

	if (ttl != NULL)
		add_time(parameters, time_after(call->now, *ttl, "ttl"));
	else if (is_error)
		add_time(parameters, time_after(call->now, client_error_ttl,
										"idempotency.client_error_ttl"));
	else
		add_null(parameters);
}

/* Writes the row, if the token holds the key. */
static bool
update_key(const HolderCall *call, const Response *response,
		   const int64 *ttl, bool retryable)
{
	Parameters	parameters = {0};

	add_holder(&parameters, call);
	if (!retryable)
	{
		add_integer(&parameters, response->status);
		add_pointer(&parameters, response->headers);
		add_pointer(&parameters, response->body);
		add_pointer(&parameters, response->bytes);
	}
	add_expiry(&parameters, call, response, ttl);
	return run_as_holder(call, retryable ? RELEASE_KEY : COMPLETE_KEY,
						 &parameters);
}

/*
 * Raises the ERROR for a token that doesn't hold the key, unless the same
 * token has done just this before: then its first answer was lost, and it is
 * given again.
 */
static void
check_repetition(const HolderCall *call, const Response *response,
				 bool retryable)
{
	KeyRow		row;

	if (!read_key(&call->extension, &call->id, &row))
		report_refused_token(NULL, call->token, call->now);
	if (key_token(&row) == call->token)
	{
		KeyState	state = key_state(&row, call->now);

		if (retryable && state == KEY_RELEASED)
			return;
		if (!retryable && state == KEY_COMPLETED &&
			is_stored_response(&row, response))
			return;
	}
	report_refused_token(&row, call->token, call->now);
}

const char *
complete_key(const Extension *extension, const KeyId *id, int64 token,
			 const Response *response, const int64 *ttl)
{
	bool		retryable = is_retryable_status(response->status);
	Response	stored = *response;
	HolderCall	call;

	stored.headers = redact_headers(response->headers);
	call = begin_holder_call(extension, id, token);
	if (update_key(&call, &stored, ttl, retryable))
		add_to_stats(retryable ? COUNT_RELEASED : COUNT_COMPLETED, 1);
	else
		check_repetition(&call, &stored, retryable);
	return retryable ? RELEASED : COMPLETED;
}

/* The three SQL functions differ in the body's type and argument number. */
static Datum
complete_from_arguments(FunctionCallInfo fcinfo, Response *response)
{
	KeyId		id = key_arguments(fcinfo, 0, 1, 6);
	int64		token = bigint_argument(fcinfo, 2, "token");
	int64		ttl = duration_argument(fcinfo, 7, "ttl", 0);
	Extension	extension;

	response->status = status_argument(fcinfo, 3);
	response->headers = jsonb_argument(fcinfo, 5);
	check_may_write();

	extension = find_extension(fcinfo, KEYS_TABLE);
	PG_RETURN_TEXT_P(cstring_to_text(complete_key(&extension, &id, token, response,
												  PG_ARGISNULL(7) ? NULL : &ttl)));
}

PG_FUNCTION_INFO_V1(idempotency_complete_text);
PG_FUNCTION_INFO_V1(idempotency_complete_jsonb);
PG_FUNCTION_INFO_V1(idempotency_complete_bytea);

Datum
idempotency_complete_text(PG_FUNCTION_ARGS)
{
	Response	response = {0};

	if (!PG_ARGISNULL(4))
		response.body = PG_GETARG_TEXT_PP(4);
	return complete_from_arguments(fcinfo, &response);
}

Datum
idempotency_complete_jsonb(PG_FUNCTION_ARGS)
{
	Response	response = {0};

	if (!PG_ARGISNULL(4))
		response.body = jsonb_body(PG_GETARG_JSONB_P(4));
	return complete_from_arguments(fcinfo, &response);
}

Datum
idempotency_complete_bytea(PG_FUNCTION_ARGS)
{
	Response	response = {0};

	if (!PG_ARGISNULL(4))
		response.bytes = PG_GETARG_BYTEA_PP(4);
	return complete_from_arguments(fcinfo, &response);
}
