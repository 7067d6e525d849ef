/*-------------------------------------------------------------------------
 *
 * requeue.c
 *	  Handing out finished events anew.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "arguments.h"
#include "compat.h"
#include "finish.h"
#include "plans.h"

PG_FUNCTION_INFO_V1(webhook_inbox_requeue);
PG_FUNCTION_INFO_V1(webhook_inbox_requeue_dead);

Datum
webhook_inbox_requeue(PG_FUNCTION_ARGS)
{
	EventId		id = event_arguments(fcinfo);
	Extension	extension;
	Parameters	parameters = {0};

	check_may_write();
	extension = find_extension(fcinfo, INBOX_TABLE);
	add_event(&parameters, &id);
	add_time(&parameters, lock_event(&id));
	PG_RETURN_BOOL(run_statement(&extension, REQUEUE_EVENT, &parameters,
								 NULL, NULL) > 0);
}

Datum
webhook_inbox_requeue_dead(PG_FUNCTION_ARGS)
{
	text	   *tenant = tenant_filter_argument(fcinfo, 0);
	text	   *source = name_or_null_argument(fcinfo, 1, "source");
	Extension	extension;
	Parameters	parameters = {0};

	if (!PG_ARGISNULL(2))
		(void) count_argument(fcinfo, 2, "max_rows");
	check_may_write();
	extension = find_extension(fcinfo, INBOX_TABLE);
	add_time(&parameters, read_clock().now);
	if (PG_ARGISNULL(2))
		add_null(&parameters);
	else
		add_bigint(&parameters, PG_GETARG_INT32(2));
	add_pointer(&parameters, tenant);
	add_pointer(&parameters, source);
	PG_RETURN_INT64((int64) run_statement(&extension, REQUEUE_DEAD,
										  &parameters, NULL, NULL));
}
