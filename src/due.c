/*-------------------------------------------------------------------------
 *
 * due.c
 *	  Listing and taking events that are due.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/spi.h"

#include "due.h"
#include "plans.h"

/* The columns of LIST_DUE. */
enum DueColumn
{
	DUE_TENANT = 1,
	DUE_SOURCE,
	DUE_EVENT_ID,
	DUE_STREAM,
	DUE_STATE,
	DUE_ATTEMPT,
	DUE_DUE_AT,
	DUE_XMIN,
	DUE_TABLE
};

/* The variants of a statement, by what the filter has. */
typedef struct Variants
{
	StatementId all;
	StatementId of_source;
	StatementId of_tenant;
	StatementId of_both;
} Variants;

static const Variants list_variants = {LIST_DUE, LIST_DUE_OF_SOURCE,
LIST_DUE_OF_TENANT, LIST_DUE_OF_BOTH};
static const Variants take_variants = {TAKE_DUE, TAKE_DUE_OF_SOURCE,
TAKE_DUE_OF_TENANT, TAKE_DUE_OF_BOTH};

/* Returns the variant for the filter that the call has. */
static StatementId
choose_variant(const Fetch *fetch, const Variants *variants)
{
	if (fetch->filter->tenant != NULL)
		return fetch->filter->source != NULL ? variants->of_both :
			variants->of_tenant;
	return fetch->filter->source != NULL ? variants->of_source :
		variants->all;
}

/* Adds the parameters that the variants differ by. */
static void
add_filter(Parameters *parameters, const Fetch *fetch)
{
	if (fetch->filter->tenant != NULL)
		add_pointer(parameters, fetch->filter->tenant);
	if (fetch->filter->source != NULL)
		add_pointer(parameters, fetch->filter->source);
}

/*
 * Tells whether this transaction may have written a row.  In a shard of a
 * distributed table it was written under another number than this one's; but
 * what was finished, or due, before this transaction began isn't its own.
 */
static bool
is_written_by_us(const Fetch *fetch, const SPITupleTable *table, uint64 row)
{
	Datum		xmin = datum_column(table, row, DUE_XMIN);
	Datum		relation = datum_column(table, row, DUE_TABLE);

	if (DatumGetObjectId(relation) != fetch->extension->table)
		return DatumGetTimestampTz(datum_column(table, row, DUE_DUE_AT)) >=
			GetCurrentTransactionStartTimestamp();
	return TransactionIdIsCurrentTransactionId(DatumGetTransactionId(xmin));
}

/* Reads a row of the list. */
static DueRow
read_due_row(const Fetch *fetch, const SPITupleTable *table, uint64 row)
{
	DueRow		due = {0};
	text	   *state;

	due.id.tenant = text_column(table, row, DUE_TENANT);
	due.id.source = text_column(table, row, DUE_SOURCE);
	due.id.event_id = text_column(table, row, DUE_EVENT_ID);
	due.stream = text_column(table, row, DUE_STREAM);
	state = text_column(table, row, DUE_STATE);
	due.has_lapsed = is_state(state, STATE_PROCESSING);
	due.is_finished = is_state(state, STATE_PROCESSED) ||
		is_state(state, STATE_DEAD);
	due.attempt = DatumGetInt32(datum_column(table, row, DUE_ATTEMPT));
	due.is_ours = is_written_by_us(fetch, table, row);
	return due;
}

DueList
list_due(const Fetch *fetch, int limit)
{
	StatementId statement = choose_variant(fetch, &list_variants);
	Parameters	parameters = {0};
	DueList		list = {0};
	SPITupleTable *table;

	add_time(&parameters, fetch->clock.now);
	add_bigint(&parameters, limit);
	add_bigint(&parameters, fetch->skipped);
	add_filter(&parameters, fetch);
	list.count = (int) run_set_statement(fetch->extension, statement,
										 &parameters);
	table = SPI_tuptable;
	if (list.count == 0)
		return list;

	list.rows = palloc(list.count * sizeof(DueRow));
	for (int i = 0; i < list.count; i++)
		list.rows[i] = read_due_row(fetch, table, i);
	list.end = DatumGetTimestampTz(datum_column(table, list.count - 1,
												DUE_DUE_AT));
	return list;
}

/* Keeps the events that a statement has just returned. */
static void
keep_events(Fetch *fetch, uint64 count)
{
	SPITupleTable *table = SPI_tuptable;
	MemoryContext connected = MemoryContextSwitchTo(fetch->caller);

	for (uint64 i = 0; i < count; i++)
	{
		FetchedEvent *event = palloc(sizeof(FetchedEvent));

		event->tuple = heap_copytuple(table->vals[i]);
		event->received_at =
			DatumGetTimestampTz(datum_column(table, i, FETCHED_RECEIVED_AT));
		fetch->events = lappend(fetch->events, event);
	}
	MemoryContextSwitchTo(connected);
	SPI_freetuptable(table);
	fetch->wanted -= (int) count;
}

int
take_due(Fetch *fetch, int limit, TimestampTz end)
{
	StatementId statement = choose_variant(fetch, &take_variants);
	Parameters	parameters = {0};
	uint64		count;

	add_time(&parameters, end);
	add_bigint(&parameters, limit);
	add_bigint(&parameters, fetch->clock.token);
	add_filter(&parameters, fetch);
	add_time(&parameters, fetch->lease_end);
	count = run_set_statement(fetch->extension, statement, &parameters);
	keep_events(fetch, count);
	return (int) count;
}

bool
take_event(Fetch *fetch, const EventId *id)
{
	Parameters	parameters = {0};
	uint64		count;

	add_event(&parameters, id);
	add_time(&parameters, fetch->clock.now);
	add_bigint(&parameters, fetch->clock.token);
	add_time(&parameters, fetch->lease_end);
	count = run_set_statement(fetch->extension, TAKE_EVENT, &parameters);
	keep_events(fetch, count);
	return count > 0;
}
