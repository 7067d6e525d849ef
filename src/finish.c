/*-------------------------------------------------------------------------
 *
 * finish.c
 *	  What a worker says of an event it was handed: done, or failed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/pg_prng.h"
#include "utils/builtins.h"

#include "arguments.h"
#include "compat.h"
#include "finish.h"
#include "lock.h"
#include "plans.h"
#include "settings.h"
#include "stats.h"

TimestampTz
lock_event(const EventId *id)
{
	LOCKTAG		tag = work_lock_tag(id);

	(void) take_event_lock(&tag, ExclusiveLock);
	return read_clock().now;
}

/* Adds the parameters that a holder's statements start with. */
static void
add_holder_of_event(Parameters *parameters, const EventId *id, int64 token,
					TimestampTz now)
{
	add_event(parameters, id);
	add_bigint(parameters, token);
	add_time(parameters, now);
}

void
add_default_ttl(Parameters *parameters, TimestampTz now)
{
	(void) time_after(now, webhook_ttl, "idempotency.webhook_ttl");
	add_interval(parameters, webhook_ttl);
}

/*
 * Says why a token doesn't hold the event, an ERROR.
 *
 * That it has been completed with the same token is an error, too.  If the
 * answer to a COMMIT was lost, and the worker does all of it once more, that
 * must not happen twice.
 */
static void
refuse_token(const Extension *extension, const EventId *id, int64 token,
			 TimestampTz now)
{
	EventRow	row;

	if (!read_event(extension, id, now, NULL, &row))
		report_refused_event(NULL, token);
	report_refused_event(&row, token);
}

void
complete_event(const Extension *extension, const EventId *id, int64 token)
{
	TimestampTz now = lock_event(id);
	Parameters	parameters = {0};

	add_holder_of_event(&parameters, id, token, now);
	add_default_ttl(&parameters, now);
	if (run_statement(extension, COMPLETE_EVENT, &parameters,
					  NULL, NULL) == 0)
		refuse_token(extension, id, token, now);
}

/*
 * How long to wait after a failed attempt: exponentially longer each time,
 * less a random part of up to a half, so that what failed together is not
 * retried together.
 */
static int64
backoff(int attempt)
{
	int64		delay = Min(webhook_backoff_base, webhook_backoff_max);

	while (--attempt > 0 && delay < webhook_backoff_max)
		delay = delay > webhook_backoff_max / 2 ? webhook_backoff_max :
			Max(2 * delay, 1);
	return delay - (int64) (delay / 2 * pg_prng_double(&pg_global_prng_state));
}

/* Makes a held event due again later. */
static bool
retry_event(const Extension *extension, const EventId *id, int64 token,
			TimestampTz now, int64 delay, text *error)
{
	Parameters	parameters = {0};

	add_holder_of_event(&parameters, id, token, now);
	add_time(&parameters, time_after(now, delay, "retry_in"));
	add_pointer(&parameters, error);
	return run_statement(extension, RETRY_EVENT, &parameters, NULL, NULL) > 0;
}

/* Declares a held event dead. */
static bool
end_event(const Extension *extension, const EventId *id, int64 token,
		  TimestampTz now, text *error)
{
	Parameters	parameters = {0};

	add_holder_of_event(&parameters, id, token, now);
	add_default_ttl(&parameters, now);
	add_pointer(&parameters, error);
	return run_statement(extension, END_EVENT, &parameters, NULL, NULL) > 0;
}

const char *
fail_event(const Extension *extension, const EventId *id, int64 token,
		   text *error, const int64 *retry_in)
{
	TimestampTz now = lock_event(id);
	EventRow	row;
	bool		is_last;
	bool		held;

	if (!read_event(extension, id, now, NULL, &row))
		report_refused_event(NULL, token);
	is_last = row.attempt >= webhook_max_attempts;
	held = is_last ? end_event(extension, id, token, now, error) :
		retry_event(extension, id, token, now,
					retry_in != NULL ? *retry_in : backoff(row.attempt),
					error);
	if (!held)
		refuse_token(extension, id, token, now);
	add_to_stats(is_last ? COUNT_DEAD : COUNT_RETRIED, 1);
	return is_last ? STATE_DEAD : STATE_PENDING;
}

PG_FUNCTION_INFO_V1(webhook_inbox_complete);
PG_FUNCTION_INFO_V1(webhook_inbox_fail);

Datum
webhook_inbox_complete(PG_FUNCTION_ARGS)
{
	EventId		id = event_arguments(fcinfo);
	int64		token = bigint_argument(fcinfo, 3, "token");
	Extension	extension;

	check_may_write();
	extension = find_extension(fcinfo, INBOX_TABLE);
	complete_event(&extension, &id, token);
	PG_RETURN_VOID();
}

Datum
webhook_inbox_fail(PG_FUNCTION_ARGS)
{
	EventId		id = event_arguments(fcinfo);
	int64		token = bigint_argument(fcinfo, 3, "token");
	text	   *error = text_or_null_argument(fcinfo, 4);
	int64		retry_in = duration_argument(fcinfo, 5, "retry_in", 0);
	Extension	extension;

	check_may_write();
	extension = find_extension(fcinfo, INBOX_TABLE);
	PG_RETURN_TEXT_P(cstring_to_text(fail_event(&extension, &id, token, error,
												PG_ARGISNULL(5) ? NULL : &retry_in)));
}
