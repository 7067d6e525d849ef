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
#include "complete.h"
#include "compat.h"
#include "key_lock.h"
#include "response.h"
#include "settings.h"
#include "statements.h"

#define COMPLETED "completed"
#define RELEASED "released"

/* Puts the new expires_at, or NULL where the claim's is to stay. */
static void
put_expiry(int n, const Response *response, const int64 *ttl,
		   TimestampTz now, Datum *parameters, char *nulls)
{
	bool		is_error = response->status >= 400 &&
		!is_retryable_status(response->status);

	nulls[n] = ' ';
	if (ttl != NULL)
		parameters[n] = TimestampTzGetDatum(time_after(now, *ttl, "ttl"));
	else if (is_error)
		parameters[n] = TimestampTzGetDatum(time_after(now, client_error_ttl,
													   "idempotency.client_error_ttl"));
	else
	{
		parameters[n] = (Datum) 0;
		nulls[n] = 'n';
	}
}

static void
put_nullable(int n, const void *pointer, Datum *parameters, char *nulls)
{
	parameters[n] = PointerGetDatum(pointer);
	nulls[n] = pointer == NULL ? 'n' : ' ';
}

/* Writes the row, if the token holds the key. */
static bool
update_key(const Extension *extension, const KeyId *id, int64 token,
		   const Response *response, const int64 *ttl, bool retryable,
		   TimestampTz now)
{
	Datum		parameters[10];
	char		nulls[10];

	put_key_parameters(id, parameters);
	parameters[3] = Int64GetDatum(token);
	parameters[4] = TimestampTzGetDatum(now);
	memset(nulls, ' ', sizeof(nulls));
	if (retryable)
	{
		put_expiry(5, response, ttl, now, parameters, nulls);
		return run_statement(extension, RELEASE_KEY, parameters, nulls,
							 NULL, NULL) > 0;
	}

	parameters[5] = Int32GetDatum(response->status);
	put_nullable(6, response->headers, parameters, nulls);
	put_nullable(7, response->body, parameters, nulls);
	put_nullable(8, response->bytes, parameters, nulls);
	put_expiry(9, response, ttl, now, parameters, nulls);
	return run_statement(extension, COMPLETE_KEY, parameters, nulls,
						 NULL, NULL) > 0;
}

/*
 * Raises the ERROR for a token that doesn't hold the key, unless the same
 * token has done just this before: then its first answer was lost, and it is
 * given again.
 */
static void
check_repetition(const Extension *extension, const KeyId *id, int64 token,
				 const Response *response, bool retryable, TimestampTz now)
{
	KeyRow		row;

	if (!read_key(extension, id, &row))
		report_refused_token(NULL, token, now);
	if (key_token(&row) == token)
	{
		KeyState	state = key_state(&row, now);

		if (retryable && state == KEY_RELEASED)
			return;
		if (!retryable && state == KEY_COMPLETED &&
			is_stored_response(&row, response))
			return;
	}
	report_refused_token(&row, token, now);
}

const char *
complete_key(const Extension *extension, const KeyId *id, int64 token,
			 const Response *response, const int64 *ttl)
{
	LOCKTAG		tag = key_lock_tag(id);
	bool		retryable = is_retryable_status(response->status);
	Response	stored = *response;
	TimestampTz now;

	stored.headers = redact_headers(response->headers);
	take_key_lock(&tag);
	now = read_clock().now;
	if (!update_key(extension, id, token, &stored, ttl, retryable, now))
		check_repetition(extension, id, token, &stored, retryable, now);
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

	extension = find_extension(fcinfo);
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
