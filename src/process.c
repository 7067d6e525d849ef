/*-------------------------------------------------------------------------
 *
 * process.c
 *	  A worker in SQL: fetches events and runs a handler on each.
 *
 * An event is fetched in a transaction of its own, so that the attempt is
 * counted should the handler take the server down with it.  The handler and
 * the completion share another, so that the handler's effects happen once.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "tcop/pquery.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/typcache.h"

#include "arguments.h"
#include "compat.h"
#include "errors.h"
#include "fetch.h"
#include "finish.h"
#include "handler.h"
#include "pin.h"
#include "settings.h"

#define EVENT_TYPE "webhook_event"

#define HANDLER_SIGNATURE "(event " EVENT_TYPE ")"

/* A call. */
typedef struct Worker
{
	FunctionCallInfo fcinfo;
	Oid			handler;
	EventFilter filter;
	Oid			user;			/* who called */
	const char *pin;			/* the tenant pinned then, or "" */
} Worker;

/* An event that was fetched, as the handler gets it. */
typedef struct Job
{
	EventId		id;
	int64		token;
	Datum		event;
} Job;

/* Refuses to run where it can't commit. */
static void
check_may_commit(FunctionCallInfo fcinfo)
{
	if (fcinfo->context != NULL && IsA(fcinfo->context, CallContext) &&
		!castNode(CallContext, fcinfo->context)->atomic)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_TRANSACTION_TERMINATION),
			 errmsg("webhook_inbox_process can't be called inside a transaction block"),
			 errdetail("It commits after each event."),
			 errhint("Call it on its own, or use webhook_inbox_fetch and webhook_inbox_complete.")));
}

/* Finds the extension, which may have changed since the last commit. */
static Extension
find_extension_and_check(const Worker *worker)
{
	Extension	extension = find_extension(worker->fcinfo, INBOX_TABLE);

	check_handler(worker->handler, find_type(&extension, EVENT_TYPE), HANDLER_SIGNATURE);
	return extension;
}

/* Returns a text of an event. */
static text *
event_text(HeapTuple tuple, TupleDesc type, FetchedColumn column)
{
	bool		isnull;

	return DatumGetTextPP(heap_getattr(tuple, column, type, &isnull));
}

/* Fetches an event; false if none is due. */
static bool
fetch_job(const Worker *worker, Job *job)
{
	Extension	extension = find_extension_and_check(worker);
	List	   *events = fetch_events(&extension, &worker->filter, 1,
									  webhook_lease);
	HeapTuple	tuple;
	TupleDesc	type;
	bool		isnull;

	if (events == NIL)
		return false;
	tuple = ((FetchedEvent *) linitial(events))->tuple;
	type = lookup_rowtype_tupdesc_copy(find_type(&extension, EVENT_TYPE), -1);
	job->id.tenant = event_text(tuple, type, FETCHED_TENANT_ID);
	job->id.source = event_text(tuple, type, FETCHED_SOURCE);
	job->id.event_id = event_text(tuple, type, FETCHED_EVENT_ID);
	job->token = DatumGetInt64(heap_getattr(tuple, FETCHED_TOKEN, type,
											&isnull));
	job->event = heap_copy_tuple_as_datum(tuple, type);
	return true;
}

/* Returns an error's message; one that another extension raises may have none. */
static const char *
error_message(const ErrorData *error)
{
	return error->message != NULL ? error->message : "missing error text";
}

/* Runs the handler and completes the event. */
static void
handle_and_complete(const Worker *worker, const Job *job,
					const ErrorData *failure)
{
	Extension	extension;
	Datum		result;

	(void) call_handler(worker->handler, job->event, false, &result);
	extension = find_extension(worker->fcinfo, INBOX_TABLE);
	complete_event(&extension, &job->id, job->token);
}

/*
 * Refuses to go on as somebody else than the caller: a commit ends SET LOCAL,
 * and a handler may SET ROLE.
 */
static void
check_still_caller(const Worker *worker)
{
	if (GetUserId() == worker->user && strcmp(tenant_pin(), worker->pin) == 0)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("webhook_inbox_process can't go on as another role or for another tenant"),
			 errdetail("The role or its tenant was set for one transaction only, or changed by a handler."),
			 errhint("Use SET ROLE instead of SET LOCAL ROLE before the call, and neither in a handler.")));
}

/* Fails an event. */
static void
fail_job(const Worker *worker, const Job *job, const ErrorData *failure)
{
	Extension	extension = find_extension(worker->fcinfo, INBOX_TABLE);

	(void) fail_event(&extension, &job->id, job->token,
					  cstring_to_text(error_message(failure)), NULL);
}

/* Raises an error that tells the session to stop.  The event is left to its lease. */
static void
raise_cancel(ErrorData *error)
{
	if (error != NULL && error->sqlerrcode == ERRCODE_QUERY_CANCELED)
		ReThrowError(error);
}

/* What is done to an event; a failure is that of an earlier step. */
typedef void (*Step) (const Worker *worker, const Job *job,
					  const ErrorData *failure);

/* Takes a step in a subtransaction; returns its error, or NULL. */
static ErrorData *
try_step(Step step, const Worker *worker, const Job *job,
		 const ErrorData *failure)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *volatile caught = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		step(worker, job, failure);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		caught = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();

	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	raise_cancel(caught);
	return caught;
}

/* Says in the log that an attempt has failed, and why. */
static void
report_failure(const ErrorData *error)
{
	ereport(WARNING,
			(errcode(error->sqlerrcode),
			 errmsg("webhook event failed: %s", error_message(error))));
}

/*
 * Commits, and begins a transaction that has a snapshot for the handler.
 * Returns the error, or NULL: a deferred constraint may speak up only now.
 */
static ErrorData *
commit(void)
{
	MemoryContext context = CurrentMemoryContext;
	ErrorData  *volatile caught = NULL;

	PG_TRY();
	{
		SPI_commit();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		caught = CopyErrorData();
		FlushErrorState();
	}
	PG_END_TRY();
	raise_cancel(caught);
	EnsurePortalSnapshotExists();
	return caught;
}

/* Commits, where nothing can be failed if that fails. */
static void
commit_or_raise(void)
{
	ErrorData  *error = commit();

	if (error != NULL)
		ReThrowError(error);
}

/*
 * Handles an event.  If that fails it is failed, unless it is somebody
 * else's by now.
 */
static void
process_job(const Worker *worker, const Job *job)
{
	ErrorData  *error = try_step(handle_and_complete, worker, job, NULL);

	if (error == NULL)
		error = commit();
	if (error == NULL)
		return;

	report_failure(error);
	error = try_step(fail_job, worker, job, error);
	if (error != NULL && error->sqlerrcode != ERRCODE_TOKEN_OUTDATED &&
		error->sqlerrcode != ERRCODE_KEY_NOT_FOUND)
		ReThrowError(error);
	commit_or_raise();
}

/* Fetches and processes one event; false if none is due. */
static bool
process_next(const Worker *worker)
{
	Job			job;

	CHECK_FOR_INTERRUPTS();
	EnsurePortalSnapshotExists();
	check_still_caller(worker);
	if (!fetch_job(worker, &job))
		return false;
	commit_or_raise();
	check_still_caller(worker);
	process_job(worker, &job);
	return true;
}

PG_FUNCTION_INFO_V1(webhook_inbox_process);

Datum
webhook_inbox_process(PG_FUNCTION_ARGS)
{
	Worker		worker = {.fcinfo = fcinfo};
	int			max_events = count_argument(fcinfo, 3, "max_events");
	MemoryContext outer = CurrentMemoryContext;
	MemoryContext per_event;

	worker.user = GetUserId();
	worker.pin = pstrdup(tenant_pin());
	worker.filter.source = name_or_null_argument(fcinfo, 1, "source");
	worker.filter.tenant = tenant_filter_argument(fcinfo, 2);
	worker.handler = handler_argument(fcinfo, 0, HANDLER_SIGNATURE);
	check_may_write();
	check_may_commit(fcinfo);

	per_event = AllocSetContextCreate(outer, "webhook event",
									  ALLOCSET_DEFAULT_SIZES);
	if (SPI_connect_ext(SPI_OPT_NONATOMIC) != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	for (int i = 0; i < max_events; i++)
	{
		MemoryContextReset(per_event);
		MemoryContextSwitchTo(per_event);
		if (!process_next(&worker))
			break;
	}
	SPI_finish();
	MemoryContextSwitchTo(outer);
	MemoryContextDelete(per_event);
	return (Datum) 0;
}
