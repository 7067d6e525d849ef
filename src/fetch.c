/*-------------------------------------------------------------------------
 *
 * fetch.c
 *	  Handing out events.
 *
 * What is due is listed first, the longest due in front, without locking it.
 * Then
 *
 *	- events that belong to no stream and were never handed out, or were
 *	  failed since, are taken by one statement that skips what others hold;
 *	- a stream is visited when a row of it is listed, see stream.h;
 *	- an event whose lease has lapsed is taken again, or buried if that was
 *	  its last attempt.
 *
 * What can't be had stays listed.  The next list begins behind it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"

#include "arguments.h"
#include "compat.h"
#include "lapsed.h"
#include "settings.h"
#include "stats.h"
#include "stream.h"

/* how many rows a list has at least, so that what can't be had costs little */
#define LEAST_LISTED 16

/* ... and how many at most */
#define MOST_LISTED 10000

/* Deals with an event of no stream whose lease has lapsed. */
static void
visit_lapsed(Fetch *fetch, DueList *list, DueRow *row)
{
	LapsedFate	fate = settle_lapsed(fetch, &row->id, row->attempt);

	if (fate == LAPSED_BURIED ||
		(fate == LAPSED_RETURNED && take_event(fetch, &row->id)))
		list->removed++;
}

/*
 * Goes through a list in its order until enough is found.  What belongs to
 * no stream is counted on the way, and taken in one go.  If less is left of
 * it than was counted, the others have it, and the rest of the list decides.
 */
static void
visit_list(Fetch *fetch, DueList *list)
{
	int			counted = 0;
	bool		all_taken = false;

	for (int i = 0; i < list->count && fetch->wanted > 0; i++)
	{
		DueRow	   *row = &list->rows[i];

		if (row->is_done)
			continue;
		if (row->stream != NULL)
			visit_stream(fetch, list, row);
		else if (row->has_lapsed)
			visit_lapsed(fetch, list, row);
		else if (!all_taken)
			counted++;

		if (counted > 0 && counted >= fetch->wanted)
		{
			int			taken = take_due(fetch, counted, list->end);

			list->removed += taken;
			all_taken = taken < counted;
			counted = 0;
		}
	}
	if (counted > 0)
		list->removed += take_due(fetch, Min(counted, fetch->wanted),
								  list->end);
}

/* Orders events by when they were received. */
static int
compare_received(const ListCell *a, const ListCell *b)
{
	TimestampTz first = ((FetchedEvent *) lfirst(a))->received_at;
	TimestampTz second = ((FetchedEvent *) lfirst(b))->received_at;

	return first < second ? -1 : first > second;
}

List *
fetch_events(const Extension *extension, const EventFilter *filter,
			 int max_events, int64 lease)
{
	Fetch		fetch = {
		.extension = extension,
		.filter = filter,
		.clock = read_clock(),
		.caller = CurrentMemoryContext,
		.wanted = max_events,
	};
	int			limit = Min(Max(max_events, LEAST_LISTED), MOST_LISTED);

	/* what was taken must not be due before the call is over */
	fetch.lease_end = Max(time_after(fetch.clock.now, lease, "lease"),
						  fetch.clock.now + 1);

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	while (fetch.wanted > 0)
	{
		DueList		list = list_due(&fetch, limit);
		SPITupleTable *table = SPI_tuptable;

		visit_list(&fetch, &list);
		SPI_freetuptable(table);
		if (list.count < limit)
			break;
		fetch.skipped += Max(list.count - list.removed, 0);
		limit = Min(2 * limit, MOST_LISTED);
		CHECK_FOR_INTERRUPTS();
	}
	SPI_finish();
	add_to_stats(COUNT_FETCHED, list_length(fetch.events));
	list_sort(fetch.events, compare_received);
	return fetch.events;
}

PG_FUNCTION_INFO_V1(webhook_inbox_fetch);

Datum
webhook_inbox_fetch(PG_FUNCTION_ARGS)
{
	int			max_events = count_argument(fcinfo, 0, "max_events");
	int64		lease = duration_argument(fcinfo, 3, "lease", webhook_lease);
	EventFilter filter;
	Extension	extension;
	ReturnSetInfo *result;
	ListCell   *cell;

	filter.source = name_or_null_argument(fcinfo, 1, "source");
	filter.tenant = tenant_filter_argument(fcinfo, 2);
	check_may_write();
	extension = find_extension(fcinfo, INBOX_TABLE);

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	result = (ReturnSetInfo *) fcinfo->resultinfo;
	foreach(cell, fetch_events(&extension, &filter, max_events, lease))
		tuplestore_puttuple(result->setResult,
							((FetchedEvent *) lfirst(cell))->tuple);
	return (Datum) 0;
}
