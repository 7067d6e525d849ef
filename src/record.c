/*-------------------------------------------------------------------------
 *
 * record.c
 *	  Recording one event, and what a batch needs of that.
 *
 * Whoever records an event holds its lock until the transaction ends (but see
 * may_lock_event), and a duplicate waits for that before it looks.  Otherwise
 * it would wait at the unique index, under a snapshot that can't see what it
 * waits for.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/async.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "arguments.h"
#include "compat.h"
#include "outcome.h"
#include "plans.h"
#include "record.h"
#include "result.h"
#include "settings.h"
#include "streak.h"
#include "stream.h"

/* an event is finished within a thousand years, or never */
#define LONGEST_WAIT (1000 * INT64CONST(365) * USECS_PER_DAY)

/* how many of this session's latest events were duplicates */
static Streak known_events;

/* An event that is to be recorded; pointers that are NULL are SQL nulls. */
typedef struct NewEvent
{
	EventId		id;
	Jsonb	   *payload;
	text	   *event_type;
	Jsonb	   *headers;
	text	   *stream;
	const int64 *sequence;
	bool		processed;
	const int64 *ttl;
} NewEvent;

/* What became of it. */
typedef struct Record
{
	Outcome		outcome;
	text	   *state;
	TimestampTz received_at;
	bool		payload_changed;
} Record;

bool
may_look(void)
{
	return !IsolationIsSerializable();
}

/* Adds what both statements start with. */
static void
add_new_event(Parameters *parameters, const NewEvent *event)
{
	add_event(parameters, &event->id);
	add_pointer(parameters, event->payload);
	add_pointer(parameters, event->event_type);
	add_pointer(parameters, event->headers);
	add_pointer(parameters, event->stream);
	if (event->sequence != NULL)
		add_bigint(parameters, *event->sequence);
	else
		add_null(parameters);
	if (event->ttl != NULL)
		add_interval(parameters, *event->ttl);
	else
		add_null(parameters);
}

/* Inserts an event with a turn of its own, or one that needs none. */
static bool
insert_event(const Extension *extension, const NewEvent *event,
			 TimestampTz now)
{
	Parameters	parameters = {0};
	int64		ttl = event->ttl != NULL ? *event->ttl : webhook_ttl;

	add_new_event(&parameters, event);
	add_string(&parameters, event->processed ? STATE_PROCESSED : STATE_PENDING);
	add_time(&parameters, now);
	if (event->processed)
	{
		add_null(&parameters);
		add_time(&parameters, now);
		add_time(&parameters, time_after(now, ttl, "ttl"));
	}
	else
	{
		add_time(&parameters, now);
		add_null(&parameters);
		add_null(&parameters);
	}
	add_boolean(&parameters, may_look());
	return run_statement(extension, INSERT_EVENT, &parameters,
						 NULL, NULL) > 0;
}

/*
 * Inserts an event of a stream, with a turn of its own unless an earlier one
 * is unfinished.
 */
static bool
insert_stream_event(const Extension *extension, const NewEvent *event,
					TimestampTz now)
{
	StreamId	stream = {event->id.tenant, event->id.source, event->stream};
	Parameters	parameters = {0};

	if (!try_record_in_stream(extension, &stream))
		return insert_event(extension, event, now);

	add_new_event(&parameters, event);
	add_time(&parameters, now);
	add_boolean(&parameters, may_look());
	if (run_statement(extension, INSERT_STREAM_EVENT, &parameters,
					  NULL, NULL) > 0)
		return true;
	unlock_stream(&stream, STREAM_RECORDING);
	return false;
}

void
delete_expired_events(const Extension *extension, text *tenant, text *source,
					  Datum *event_ids, int count, TimestampTz now)
{
	Parameters	parameters = {0};

	add_pointer(&parameters, tenant);
	add_pointer(&parameters, source);
	add_texts(&parameters, event_ids, count);
	add_time(&parameters, now);
	(void) run_statement(extension, DELETE_EXPIRED_EVENTS, &parameters,
						 NULL, NULL);
}

/*
 * Reads the event that is in the way of a new one.  False if there is none,
 * or none that counts any more.
 */
static bool
read_duplicate(const Extension *extension, const NewEvent *event,
			   Record *record)
{
	EventRow	row;

	if (!read_event(extension, &event->id, read_clock().now, event->payload,
					&row) || row.is_expired)
		return false;
	record->outcome = OUTCOME_DUPLICATE;
	record->state = row.state;
	record->received_at = row.received_at;
	record->payload_changed = row.payload_changed;
	return true;
}

/* Deletes it, if it doesn't count any more. */
static void
delete_duplicate(const Extension *extension, const NewEvent *event)
{
	Datum		id = PointerGetDatum(event->id.event_id);

	delete_expired_events(extension, event->id.tenant, event->id.source,
						  &id, 1, read_clock().now);
}

/* Records an event, or finds the one that was recorded before. */
static void
record_event(const Extension *extension, const NewEvent *event,
			 Record *record)
{
	bool		in_order = event->stream != NULL && !event->processed;

	if (is_streak(known_events) && read_duplicate(extension, event, record))
		return;
	for (;;)
	{
		TimestampTz now = read_clock().now;

		CHECK_FOR_INTERRUPTS();
		if (in_order ? insert_stream_event(extension, event, now) :
			insert_event(extension, event, now))
		{
			record->outcome = OUTCOME_RECORDED;
			record->state = cstring_to_text(event->processed ?
											STATE_PROCESSED : STATE_PENDING);
			record->received_at = now;
			return;
		}
		if (read_duplicate(extension, event, record))
			return;
		delete_duplicate(extension, event);
	}
}

void
check_event_ttl(TimestampTz now, int64 ttl, const char *name)
{
	(void) time_after(time_after(now, ttl, name), LONGEST_WAIT, name);
}

void
notify_workers(const text *source)
{
	if (webhook_notify)
		Async_Notify("webhook_inbox", text_to_cstring(source));
}

/* Records an event under its lock, which a duplicate has no need to keep. */
static void
lock_and_record(const Extension *extension, const NewEvent *event,
				Record *record)
{
	LOCKTAG		tag = record_lock_tag(&event->id);
	bool		locked = take_event_lock(&tag, ExclusiveLock);

	record_event(extension, event, record);
	note_in_streak(&known_events, record->outcome == OUTCOME_DUPLICATE);
	if (locked && record->outcome == OUTCOME_DUPLICATE)
		drop_lock(&tag, ExclusiveLock);
	if (record->outcome == OUTCOME_RECORDED && !event->processed)
		notify_workers(event->id.source);
	note_record(record->outcome, &event->id);
}

/* The columns of webhook_inbox_record's result. */
enum RecordColumn
{
	RECORD_OUTCOME,
	RECORD_STATE,
	RECORD_RECEIVED_AT,
	RECORD_PAYLOAD_CHANGED,
	NUM_RECORD_COLUMNS
};

static const ResultColumn record_columns[NUM_RECORD_COLUMNS] = {
	[RECORD_OUTCOME] = {"outcome", TEXTOID},
	[RECORD_STATE] = {"state", TEXTOID},
	[RECORD_RECEIVED_AT] = {"received_at", TIMESTAMPTZOID},
	[RECORD_PAYLOAD_CHANGED] = {"payload_changed", BOOLOID},
};

PG_FUNCTION_INFO_V1(webhook_inbox_record);

Datum
webhook_inbox_record(PG_FUNCTION_ARGS)
{
	static TupleDesc type;
	NewEvent	event = {.id = event_arguments(fcinfo)};
	int64		sequence = PG_ARGISNULL(7) ? 0 : PG_GETARG_INT64(7);
	int64		ttl = duration_argument(fcinfo, 9, "ttl", webhook_ttl);
	Record		record = {0};
	Extension	extension;
	Datum		values[NUM_RECORD_COLUMNS];
	bool		isnull[NUM_RECORD_COLUMNS] = {0};

	event.payload = jsonb_argument(fcinfo, 3);
	event.event_type = text_or_null_argument(fcinfo, 4);
	event.headers = jsonb_argument(fcinfo, 5);
	event.stream = name_or_null_argument(fcinfo, 6, "stream");
	event.sequence = PG_ARGISNULL(7) ? NULL : &sequence;
	event.processed = boolean_argument(fcinfo, 8, false);
	event.ttl = PG_ARGISNULL(9) ? NULL : &ttl;
	check_event_ttl(read_clock().now, ttl, "ttl");
	check_may_write();
	extension = find_extension(fcinfo, INBOX_TABLE);
	lock_and_record(&extension, &event, &record);

	values[RECORD_OUTCOME] = text_datum(outcome_name(record.outcome));
	values[RECORD_STATE] = PointerGetDatum(record.state);
	values[RECORD_RECEIVED_AT] = TimestampTzGetDatum(record.received_at);
	values[RECORD_PAYLOAD_CHANGED] = BoolGetDatum(record.payload_changed);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(result_type(record_columns, NUM_RECORD_COLUMNS, &type),
													  values, isnull)));
}
