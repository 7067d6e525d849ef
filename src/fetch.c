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

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "arguments.h"
#include "compat.h"
#include "fetch.h"
#include "finish.h"
#include "lock.h"
#include "plans.h"
#include "settings.h"
#include "stream.h"

/* how many rows a list has at least, so that what can't be had costs little */
#define LEAST_LISTED 16

/* ... and how many at most */
#define MOST_LISTED 10000

/* so many turns of a blocked stream are worth being taken away */
#define MANY_TURNS 8

/* The columns of LIST_DUE. */
enum DueColumn
{
	DUE_TENANT = 1,
	DUE_SOURCE,
	DUE_EVENT_ID,
	DUE_STREAM,
	DUE_STATE,
	DUE_ATTEMPT,
	DUE_DUE_AT
};

/* A row that a fetch has to look at. */
typedef struct DueRow
{
	EventId		id;
	text	   *stream;			/* NULL if it belongs to none */
	bool		has_lapsed;		/* it was handed out, and not given back */
	bool		is_finished;	/* it only has a turn to pass on */
	int32		attempt;
	bool		is_done;		/* nothing is left to be done with it */
} DueRow;

/* A list of them. */
typedef struct DueList
{
	DueRow	   *rows;
	int			count;
	int			removed;		/* how many are not due any more */
	TimestampTz end;			/* when the last one became due */
} DueList;

/* What becomes of an event whose lease has lapsed. */
typedef enum LapsedFate
{
	LAPSED_HELD,				/* nothing: its worker is about to finish it */
	LAPSED_RETURNED,			/* it waits again */
	LAPSED_BURIED				/* it is dead */
} LapsedFate;

/* What became of a stream's events whose leases had lapsed. */
typedef struct Lapsed
{
	bool		any;			/* were there any? */
	List	   *buried;			/* the ids of those that are dead now */
} Lapsed;

/* A call. */
typedef struct Fetch
{
	const Extension *extension;
	const EventFilter *filter;
	Clock		clock;
	TimestampTz lease_end;
	MemoryContext caller;
	int			wanted;			/* how many events are still wanted */
	int64		skipped;		/* how many due rows couldn't be had */
	List	   *events;
} Fetch;

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

static StatementId
choose_variant(const Fetch *fetch, const Variants *variants)
{
	if (fetch->filter->tenant != NULL)
		return fetch->filter->source != NULL ? variants->of_both :
			variants->of_tenant;
	return fetch->filter->source != NULL ? variants->of_source :
		variants->all;
}

static void
add_filter(Parameters *parameters, const Fetch *fetch)
{
	if (fetch->filter->tenant != NULL)
		add_pointer(parameters, fetch->filter->tenant);
	if (fetch->filter->source != NULL)
		add_pointer(parameters, fetch->filter->source);
}

/* Returns a text column of a row, or NULL. */
static text *
text_column(const SPITupleTable *table, uint64 row, int column)
{
	bool		isnull;
	Datum		value = SPI_getbinval(table->vals[row], table->tupdesc, column,
									  &isnull);

	return isnull ? NULL : DatumGetTextPP(value);
}

static DueRow
read_due_row(const SPITupleTable *table, uint64 row)
{
	DueRow		due = {0};
	text	   *state;
	bool		isnull;

	due.id.tenant = text_column(table, row, DUE_TENANT);
	due.id.source = text_column(table, row, DUE_SOURCE);
	due.id.event_id = text_column(table, row, DUE_EVENT_ID);
	due.stream = text_column(table, row, DUE_STREAM);
	state = text_column(table, row, DUE_STATE);
	due.has_lapsed = is_state(state, STATE_PROCESSING);
	due.is_finished = is_state(state, STATE_PROCESSED) ||
		is_state(state, STATE_DEAD);
	due.attempt = DatumGetInt32(SPI_getbinval(table->vals[row],
											  table->tupdesc, DUE_ATTEMPT,
											  &isnull));
	return due;
}

/* Lists what is due, behind what couldn't be had. */
static DueList
list_due(const Fetch *fetch, int limit)
{
	StatementId statement = choose_variant(fetch, &list_variants);
	Parameters	parameters = {0};
	DueList		list = {0};
	SPITupleTable *table;
	bool		isnull;

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
		list.rows[i] = read_due_row(table, i);
	list.end = DatumGetTimestampTz(SPI_getbinval(table->vals[list.count - 1],
												 table->tupdesc, DUE_DUE_AT,
												 &isnull));
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
		bool		isnull;

		event->tuple = heap_copytuple(table->vals[i]);
		event->received_at =
			DatumGetTimestampTz(SPI_getbinval(table->vals[i], table->tupdesc,
											  FETCHED_RECEIVED_AT, &isnull));
		fetch->events = lappend(fetch->events, event);
	}
	MemoryContextSwitchTo(connected);
	SPI_freetuptable(table);
	fetch->wanted -= (int) count;
}

/* Takes events that belong to no stream; returns how many those were. */
static int
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

static text *
lapsed_error(int attempt)
{
	return cstring_to_text(psprintf("the lease of attempt %d lapsed: the worker died, or took too long",
									attempt));
}

/*
 * Locks an event whose lease has lapsed.  Its old worker may come back, and
 * has to wait until it is certain whether he is too late.
 */
static bool
try_lapsed(const EventId *id)
{
	LOCKTAG		tag = work_lock_tag(id);

	return may_lock_more() && try_lock(&tag, ExclusiveLock);
}

static void
leave_lapsed(const EventId *id)
{
	LOCKTAG		tag = work_lock_tag(id);

	drop_lock(&tag, ExclusiveLock);
}

/* Takes one event; false if somebody else has it, or had it meanwhile. */
static bool
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

/*
 * Takes an event whose lease has lapsed back from its worker, whose token
 * holds nothing from then on.
 */
static bool
return_event(const Fetch *fetch, const EventId *id, int attempt)
{
	Parameters	parameters = {0};

	if (!try_lapsed(id))
		return false;
	add_event(&parameters, id);
	add_time(&parameters, fetch->clock.now);
	add_pointer(&parameters, lapsed_error(attempt));
	if (run_statement(fetch->extension, RETURN_EVENT, &parameters,
					  NULL, NULL) > 0)
		return true;
	leave_lapsed(id);
	return false;
}

/* Declares an event dead whose last attempt's lease has lapsed. */
static bool
bury_event(const Fetch *fetch, const EventId *id, int attempt)
{
	Parameters	parameters = {0};

	if (!try_lapsed(id))
		return false;
	add_event(&parameters, id);
	add_time(&parameters, fetch->clock.now);
	add_default_ttl(&parameters, fetch->clock.now);
	add_pointer(&parameters, lapsed_error(attempt));
	if (run_statement(fetch->extension, BURY_EVENT, &parameters,
					  NULL, NULL) > 0)
		return true;
	leave_lapsed(id);
	return false;
}

/*
 * Takes an event back whose lease has lapsed, or buries it if that was its
 * last attempt.
 */
static LapsedFate
settle_lapsed(const Fetch *fetch, const EventId *id, int attempt)
{
	if (attempt >= webhook_max_attempts)
		return bury_event(fetch, id, attempt) ? LAPSED_BURIED : LAPSED_HELD;
	return return_event(fetch, id, attempt) ? LAPSED_RETURNED : LAPSED_HELD;
}

/* Deals with an event of no stream whose lease has lapsed. */
static void
visit_lapsed(Fetch *fetch, DueList *list, DueRow *row)
{
	LapsedFate	fate = settle_lapsed(fetch, &row->id, row->attempt);

	if (fate == LAPSED_BURIED ||
		(fate == LAPSED_RETURNED && take_event(fetch, &row->id)))
		list->removed++;
}

static bool
same_text(const text *a, const text *b)
{
	return VARSIZE_ANY_EXHDR(a) == VARSIZE_ANY_EXHDR(b) &&
		memcmp(VARDATA_ANY(a), VARDATA_ANY(b), VARSIZE_ANY_EXHDR(a)) == 0;
}

/* Tells whether a row of the head's stream is the head. */
static bool
is_head(const DueRow *row, const Head *head)
{
	return head->kind != HEAD_NONE &&
		same_text(row->id.event_id, head->id.event_id);
}

static bool
is_of_stream(const DueRow *row, const StreamId *id)
{
	return row->stream != NULL && same_text(row->stream, id->stream) &&
		same_text(row->id.source, id->source) &&
		same_text(row->id.tenant, id->tenant);
}

/*
 * Takes away the turns of a stream's listed rows, of those that are finished
 * or of those that are not, and of the other events given.  The head keeps
 * its own; so does the first that waits, which may come before one in flight
 * that is failed for an hour; and so does what has changed since it was
 * listed.
 */
static void
take_turns(const Fetch *fetch, const StreamId *id, DueList *list,
		   bool finished, List *others, const Head *head)
{
	Datum	   *event_ids = palloc((list->count + list_length(others)) *
								   sizeof(Datum));
	int			count = 0;
	Parameters	parameters = {0};
	ListCell   *cell;

	for (int i = 0; i < list->count; i++)
	{
		const DueRow *row = &list->rows[i];

		if (is_of_stream(row, id) && row->is_finished == finished &&
			!row->has_lapsed && !is_head(row, head))
			event_ids[count++] = PointerGetDatum(row->id.event_id);
	}
	foreach(cell, others)
		event_ids[count++] = PointerGetDatum(lfirst(cell));
	if (count == 0)
		return;

	add_pointer(&parameters, id->tenant);
	add_pointer(&parameters, id->source);
	add_pointer(&parameters, construct_array(event_ids, count, TEXTOID, -1,
											 false, TYPALIGN_INT));
	add_boolean(&parameters, finished);
	add_pointer(&parameters, id->stream);
	list->removed += (int) run_statement(fetch->extension, QUIET_EVENTS,
										 &parameters, NULL, NULL);
}

/*
 * Looks for the event of a stream to hand out.  What was in flight until its
 * lease lapsed is taken back first, also if another comes before it by now:
 * two workers must not hold events of one stream.
 */
static Head
find_head(const Fetch *fetch, const StreamId *id, Lapsed *lapsed)
{
	for (;;)
	{
		Head		head = read_head(fetch->extension, id, fetch->clock.now);
		LapsedFate	fate;

		if (head.kind != HEAD_LAPSED)
			return head;
		fate = settle_lapsed(fetch, &head.id, head.attempt);
		if (fate == LAPSED_HELD)
		{
			head.kind = HEAD_BLOCKED;
			return head;
		}
		lapsed->any = true;
		if (fate == LAPSED_BURIED)
			lapsed->buried = lappend(lapsed->buried, head.id.event_id);
	}
}

/*
 * Takes away the turns of a stream that has nothing to hand out, if it can
 * be made sure that nobody is recording what counts on them.
 */
static void
close_stream(const Fetch *fetch, const StreamId *id, DueList *list,
			 List *buried)
{
	Head		head;

	if (!try_stream(id, STREAM_CLOSING))
		return;
	head = read_head(fetch->extension, id, fetch->clock.now);
	if (head.kind == HEAD_NONE)
		take_turns(fetch, id, list, true, buried, &head);
	else
		leave_stream(id, STREAM_CLOSING);
}

/*
 * Takes away the turns that a stream has beside that of the event that was
 * just handed out.  Those of finished events stay while somebody is recording
 * an event that may count on them, and come before the one handed out.  Who
 * begins to record after that sees them finished, or counts on that one.
 */
static void
pass_turns_on(const Fetch *fetch, const StreamId *id, DueList *list,
			  List *buried, const Head *head)
{
	take_turns(fetch, id, list, false, NIL, head);
	if (!try_stream(id, STREAM_CLOSING))
		return;
	take_turns(fetch, id, list, true, buried, head);
	leave_stream(id, STREAM_CLOSING);
}

/* Returns how many rows of the list are the head: none or one. */
static int
is_listed(const DueList *list, const StreamId *id, const Head *head)
{
	for (int i = 0; i < list->count; i++)
	{
		if (is_of_stream(&list->rows[i], id) && is_head(&list->rows[i], head))
			return 1;
	}
	return 0;
}

/*
 * Marks the listed rows of a stream, so that it isn't visited again.  Returns
 * how many they are.
 */
static int
mark_stream(const StreamId *id, DueList *list)
{
	int			count = 0;

	for (int i = 0; i < list->count; i++)
	{
		if (!is_of_stream(&list->rows[i], id))
			continue;
		list->rows[i].is_done = true;
		count++;
	}
	return count;
}

/*
 * Hands out the next event of a stream, if there is one to hand out.
 *
 * Each fetch would come across the turns that a blocked stream has to no use,
 * so they are taken away if there are many.  If there are few it isn't done:
 * should one of them be next, it can't be handed out before this transaction
 * ends.
 */
static void
visit_stream(Fetch *fetch, DueList *list, const DueRow *row)
{
	StreamId	id = {row->id.tenant, row->id.source, row->stream};
	Lapsed		lapsed = {0};
	Head		head;
	int			turns;

	if (!try_stream(&id, STREAM_FETCHING))
		return;
	turns = mark_stream(&id, list);
	head = find_head(fetch, &id, &lapsed);
	if (head.kind == HEAD_READY &&
		take_event(fetch, &head.id))
	{
		list->removed += is_listed(list, &id, &head);
		pass_turns_on(fetch, &id, list, lapsed.buried, &head);
		return;
	}

	if (head.kind == HEAD_NONE)
		close_stream(fetch, &id, list, lapsed.buried);
	else if (head.kind == HEAD_BLOCKED && turns >= MANY_TURNS)
		take_turns(fetch, &id, list, false, NIL, &head);
	if (!lapsed.any)
		leave_stream(&id, STREAM_FETCHING);
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

	InitMaterializedSRF(fcinfo, 0);
	result = (ReturnSetInfo *) fcinfo->resultinfo;
	foreach(cell, fetch_events(&extension, &filter, max_events, lease))
		tuplestore_puttuple(result->setResult,
							((FetchedEvent *) lfirst(cell))->tuple);
	return (Datum) 0;
}
