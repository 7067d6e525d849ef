/*-------------------------------------------------------------------------
 *
 * batch.c
 *	  Recording many events at once.
 *
 * The elements of the array are read and checked first, all of them.  Then
 * one statement inserts those that are new.  Only if that were not all is
 * there another, which tells what the others are duplicates of.
 *
 * Turns (see stream.h) are given out here: of those in the batch that belong
 * to one stream, all but the first count on the first.  They need no lock for
 * that, since they become visible together with it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"

#include "arguments.h"
#include "compat.h"
#include "outcome.h"
#include "plans.h"
#include "record.h"
#include "result.h"
#include "settings.h"
#include "stream.h"

/* What an element consists of, in the order of INSERT_EVENTS. */
typedef enum Member
{
	MEMBER_EVENT_ID,
	MEMBER_PAYLOAD,
	MEMBER_EVENT_TYPE,
	MEMBER_HEADERS,
	MEMBER_STREAM,
	MEMBER_SEQUENCE,
	MEMBER_TTL,
	MEMBER_PROCESSED,
	NUM_MEMBERS
} Member;

/* What is beside the members in INSERT_EVENTS. */
enum AddedColumn
{
	COLUMN_RECEIVED_AT = NUM_MEMBERS,
	COLUMN_TURN,
	NUM_COLUMNS
};

/* How an event that is being recorded gets its turn. */
typedef enum BatchTurn
{
	TURN_OWN = 0,				/* it gets one, whatever else is there: NULL */
	TURN_LOOK = 'l',			/* it gets one if none is unfinished before it */
	TURN_WAIT = 'w'				/* it counts on another's */
} BatchTurn;

/* The array, turned into columns. */
typedef struct Batch
{
	Extension	extension;
	text	   *tenant;
	text	   *source;
	TimestampTz now;
	int			count;
	Datum	   *values[NUM_COLUMNS];
	bool	   *isnull[NUM_COLUMNS];

	/* what became of each */
	bool	   *is_recorded;
	bool	   *is_settled;		/* recorded, or known to be a duplicate */
	text	  **state;
	bool	   *payload_changed;
} Batch;

/* The columns of SELECT_EVENTS. */
enum DuplicateColumn
{
	DUPLICATE_STATE = 1,
	DUPLICATE_PAYLOAD_CHANGED,
	DUPLICATE_IS_EXPIRED
};

/* An entry in a table of names: a stream, or the id of an event. */
typedef struct NameEntry
{
	char		name[MAX_NAME_BYTES + 1];
	int			element;
} NameEntry;

typedef bool (*MemberParser) (const JsonbValue *value, Datum *result);

/* Parses a string; false if it is none.  So do the others. */
static bool
parse_string(const JsonbValue *value, Datum *result)
{
	if (value->type != jbvString)
		return false;
	*result = PointerGetDatum(cstring_to_text_with_len(value->val.string.val,
													   value->val.string.len));
	return true;
}

static bool
parse_json(const JsonbValue *value, Datum *result)
{
	*result = JsonbPGetDatum(JsonbValueToJsonb(unconstify(JsonbValue *, value)));
	return true;
}

static bool
parse_boolean(const JsonbValue *value, Datum *result)
{
	if (value->type != jbvBool)
		return false;
	*result = BoolGetDatum(value->val.boolean);
	return true;
}

/* The text of a number, or of a string that is to be read like one. */
static char *
number_string(const JsonbValue *value)
{
	if (value->type == jbvString)
		return pnstrdup(value->val.string.val, value->val.string.len);
	if (value->type == jbvNumeric)
		return DatumGetCString(DirectFunctionCall1(numeric_out,
												   NumericGetDatum(value->val.numeric)));
	return NULL;
}

static bool
parse_bigint(const JsonbValue *value, Datum *result)
{
	char	   *string = number_string(value);
	char	   *end;
	int64		number;

	if (string == NULL)
		return false;
	errno = 0;
	number = strtoi64(string, &end, 10);
	*result = Int64GetDatum(number);
	return errno == 0 && end != string && *end == '\0';
}

static bool
parse_interval(const JsonbValue *value, Datum *result)
{
	char	   *string = number_string(value);
	Interval   *interval = palloc0(sizeof(Interval));

	*result = PointerGetDatum(interval);
	return string != NULL &&
		parse_duration(string, USECS_PER_SEC, &interval->time) &&
		interval->time >= 0;
}

static const struct
{
	const char *name;
	Oid			type;
	MemberParser parse;
	const char *problem;		/* if it can't be parsed */
}			members[NUM_MEMBERS] = {
	[MEMBER_EVENT_ID] = {"event_id", TEXTOID, parse_string, "must be a string"},
	[MEMBER_PAYLOAD] = {"payload", JSONBOID, parse_json},
	[MEMBER_EVENT_TYPE] = {"event_type", TEXTOID, parse_string, "must be a string"},
	[MEMBER_HEADERS] = {"headers", JSONBOID, parse_json},
	[MEMBER_STREAM] = {"stream", TEXTOID, parse_string, "must be a string"},
	[MEMBER_SEQUENCE] = {"sequence", INT8OID, parse_bigint, "must be a whole number of 64 bits"},
	[MEMBER_TTL] = {"ttl", INTERVALOID, parse_interval, "must be an interval, and not negative"},
	[MEMBER_PROCESSED] = {"processed", BOOLOID, parse_boolean, "must be true or false"},
};

/* The name of a member, as an expression that gives it. */
static const char *
member_name(int element, const char *member)
{
	return psprintf("events[%d].%s", element, member);
}

/* Finds a member by its name, an ERROR if there is no such member. */
static Member
find_member(int element, const JsonbValue *key)
{
	for (Member member = 0; member < NUM_MEMBERS; member++)
	{
		if (strlen(members[member].name) == (size_t) key->val.string.len &&
			memcmp(members[member].name, key->val.string.val,
				   key->val.string.len) == 0)
			return member;
	}
	report_bad_argument(psprintf("events[%d]", element),
						"has a member of an unknown name",
						"Name the members like the arguments of webhook_inbox_record, from event_id on.");
}

/* Checks what can only be checked once all members have been read. */
static void
check_element(const Batch *batch, int element)
{
	const text *event_id = (const text *) DatumGetPointer(batch->values[MEMBER_EVENT_ID][element]);
	const text *stream = (const text *) DatumGetPointer(batch->values[MEMBER_STREAM][element]);

	if (!is_name(event_id))
		check_name(event_id, member_name(element, "event_id"));
	if (stream != NULL && !is_name(stream))
		check_name(stream, member_name(element, "stream"));
	if (!batch->isnull[MEMBER_TTL][element])
		check_event_ttl(batch->now,
						DatumGetIntervalP(batch->values[MEMBER_TTL][element])->time,
						member_name(element, "ttl"));
}

/* Reads one element.  A member that is null is as good as none. */
static void
read_element(Batch *batch, int element, const JsonbValue *object)
{
	JsonbIterator *iterator;
	JsonbValue	item;
	Member		member = NUM_MEMBERS;
	JsonbIteratorToken token;

	if (object->type != jbvBinary ||
		!JsonContainerIsObject(object->val.binary.data))
		report_bad_argument(psprintf("events[%d]", element),
							"must be an object",
							"Pass an array of objects.");

	iterator = JsonbIteratorInit(object->val.binary.data);
	while ((token = JsonbIteratorNext(&iterator, &item, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			member = find_member(element, &item);
		if (token != WJB_VALUE || item.type == jbvNull)
			continue;
		if (!members[member].parse(&item, &batch->values[member][element]))
			report_bad_argument(member_name(element, members[member].name),
								members[member].problem,
								"Correct the element, or leave it out.");
		batch->isnull[member][element] = false;
	}
	check_element(batch, element);
}

/* Allocates the columns of a batch, filled with nulls. */
static void
allocate_columns(Batch *batch)
{
	for (int column = 0; column < NUM_COLUMNS; column++)
	{
		batch->values[column] = palloc0(batch->count * sizeof(Datum));
		batch->isnull[column] = palloc(batch->count * sizeof(bool));
		memset(batch->isnull[column], column != COLUMN_RECEIVED_AT,
			   batch->count * sizeof(bool));
	}
	batch->is_recorded = palloc0(batch->count * sizeof(bool));
	batch->is_settled = palloc0(batch->count * sizeof(bool));
	batch->state = palloc0(batch->count * sizeof(text *));
	batch->payload_changed = palloc0(batch->count * sizeof(bool));
}

/*
 * Reads the array.  Each event is received a microsecond after the one before
 * it, so that their order is kept.
 */
static void
read_batch(Batch *batch, Jsonb *events)
{
	JsonbIterator *iterator;
	JsonbValue	item;
	int			element = 0;
	JsonbIteratorToken token;

	if (!JB_ROOT_IS_ARRAY(events) || JB_ROOT_IS_SCALAR(events))
		report_bad_argument("events", "must be an array",
							"Pass an array of objects.");
	batch->count = JB_ROOT_COUNT(events);
	allocate_columns(batch);

	iterator = JsonbIteratorInit(&events->root);
	while ((token = JsonbIteratorNext(&iterator, &item, true)) != WJB_DONE)
	{
		if (token != WJB_ELEM)
			continue;
		read_element(batch, element, &item);
		batch->values[COLUMN_RECEIVED_AT][element] =
			TimestampTzGetDatum(batch->now + element);
		element++;
	}
}

/* Creates a table of names. */
static HTAB *
create_name_table(int size)
{
	HASHCTL		control = {
		.keysize = MAX_NAME_BYTES + 1,
		.entrysize = sizeof(NameEntry),
		.hcxt = CurrentMemoryContext,
	};

	return hash_create("names of a batch", size, &control,
					   HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
}

/* Finds a name, or enters or removes it. */
static NameEntry *
find_name(HTAB *table, Datum name, HASHACTION action, bool *found)
{
	char		key[MAX_NAME_BYTES + 1];

	text_to_cstring_buffer((const text *) DatumGetPointer(name), key,
						   sizeof(key));
	return hash_search(table, key, action, found);
}

/* Tells whether an element has to wait for its turn in a stream. */
static bool
is_in_order(const Batch *batch, int element)
{
	return !batch->isnull[MEMBER_STREAM][element] &&
		!DatumGetBool(batch->values[MEMBER_PROCESSED][element]);
}

/* Tells whether an element comes before an earlier one of its stream. */
static bool
overtakes(const Batch *batch, int element, int earlier)
{
	const bool *isnull = batch->isnull[MEMBER_SEQUENCE];
	const Datum *sequence = batch->values[MEMBER_SEQUENCE];

	return !isnull[element] &&
		(isnull[earlier] ||
		 DatumGetInt64(sequence[element]) < DatumGetInt64(sequence[earlier]));
}

/* Finds the first element of each stream, of all or of those recorded. */
static HTAB *
find_first_elements(const Batch *batch, bool recorded_only)
{
	HTAB	   *streams = create_name_table(64);

	for (int i = 0; i < batch->count; i++)
	{
		NameEntry  *stream;
		bool		found;

		if (!is_in_order(batch, i) ||
			(recorded_only && !batch->is_recorded[i]))
			continue;
		stream = find_name(streams, batch->values[MEMBER_STREAM][i],
						   HASH_ENTER, &found);
		if (!found || overtakes(batch, i, stream->element))
			stream->element = i;
	}
	return streams;
}

/* Says how one event gets its turn. */
static void
give_turn(Batch *batch, int element, BatchTurn turn)
{
	batch->values[COLUMN_TURN][element] = CharGetDatum(turn);
	batch->isnull[COLUMN_TURN][element] = (turn == TURN_OWN);
}

/* Tells how it gets it. */
static BatchTurn
get_turn(const Batch *batch, int element)
{
	return batch->isnull[COLUMN_TURN][element] ? TURN_OWN :
		DatumGetChar(batch->values[COLUMN_TURN][element]);
}

/*
 * Says how each event of a stream gets its turn.  The locks are kept, also if
 * nothing of a stream turns out to be new.
 */
static void
give_turns(Batch *batch)
{
	HTAB	   *streams = find_first_elements(batch, false);
	HASH_SEQ_STATUS status;
	NameEntry  *stream;

	for (int i = 0; i < batch->count; i++)
	{
		if (is_in_order(batch, i))
			give_turn(batch, i, TURN_WAIT);
	}

	hash_seq_init(&status, streams);
	while ((stream = hash_seq_search(&status)) != NULL)
	{
		StreamId	id = {batch->tenant, batch->source,
		(text *) DatumGetPointer(batch->values[MEMBER_STREAM][stream->element])};

		give_turn(batch, stream->element,
				  try_record_in_stream(&batch->extension, &id) ?
				  TURN_LOOK : TURN_OWN);
	}
	hash_destroy(streams);
}

/*
 * Adds a column, of those elements that are not settled yet.  One that has
 * nothing but nulls costs less as no array at all, and most have.
 */
static void
add_column(Parameters *parameters, const Batch *batch, int column, Oid type)
{
	Datum	   *values = palloc(batch->count * sizeof(Datum));
	bool	   *isnull = palloc(batch->count * sizeof(bool));
	int			count = 0;
	int			bound = 1;
	bool		has_values = false;
	int16		length;
	bool		by_value;
	char		alignment;

	for (int i = 0; i < batch->count; i++)
	{
		if (batch->is_settled[i])
			continue;
		values[count] = batch->values[column][i];
		isnull[count] = batch->isnull[column][i];
		has_values |= !isnull[count];
		count++;
	}
	if (!has_values)
	{
		add_null(parameters);
		return;
	}
	get_typlenbyvalalign(type, &length, &by_value, &alignment);
	add_pointer(parameters, construct_md_array(values, isnull, 1, &count,
											   &bound, type, length, by_value,
											   alignment));
}

/* Settles the first of the elements that have an event id that is inserted. */
static void
settle_inserted(Batch *batch, const SPITupleTable *table, uint64 count)
{
	HTAB	   *inserted = create_name_table((int) Max(count, 1));
	bool		found;

	for (uint64 i = 0; i < count; i++)
	{
		(void) find_name(inserted, datum_column(table, i, 1), HASH_ENTER,
						 &found);
	}
	for (int i = 0; i < batch->count; i++)
	{
		if (batch->is_settled[i])
			continue;
		(void) find_name(inserted, batch->values[MEMBER_EVENT_ID][i],
						 HASH_REMOVE, &found);
		batch->is_recorded[i] = batch->is_settled[i] = found;
	}
	hash_destroy(inserted);
}

/* Settles what isn't yet: all of it was inserted. */
static void
settle_all(Batch *batch)
{
	for (int i = 0; i < batch->count; i++)
	{
		batch->is_recorded[i] |= !batch->is_settled[i];
		batch->is_settled[i] = true;
	}
}

/* Inserts what is not settled; returns whether that settled everything. */
static bool
insert_events(Batch *batch, int unsettled)
{
	Parameters	parameters = {0};
	uint64		count;

	add_pointer(&parameters, batch->tenant);
	add_pointer(&parameters, batch->source);
	add_time(&parameters, batch->now);
	add_interval(&parameters, webhook_ttl);
	for (int column = 0; column < NUM_MEMBERS; column++)
		add_column(&parameters, batch, column, members[column].type);
	add_column(&parameters, batch, COLUMN_RECEIVED_AT, TIMESTAMPTZOID);
	add_column(&parameters, batch, COLUMN_TURN, CHAROID);
	add_boolean(&parameters, may_look());
	count = run_set_statement(&batch->extension, INSERT_EVENTS, &parameters);
	if (count == (uint64) unsettled)
	{
		settle_all(batch);
		return true;
	}
	settle_inserted(batch, SPI_tuptable, count);
	SPI_freetuptable(SPI_tuptable);
	return false;
}

/* Takes the next element that is not settled. */
static int
next_unsettled(const Batch *batch, int element)
{
	while (batch->is_settled[element])
		element++;
	return element;
}

/*
 * Finds out what the elements that were not inserted are duplicates of.
 * Returns how many of them can be inserted now, having expired or been deleted.
 */
static int
settle_duplicates(Batch *batch)
{
	Parameters	parameters = {0};
	SPITupleTable *table;
	uint64		count;
	int			element = -1;
	int			expired = 0;
	Datum	   *expired_ids;

	add_pointer(&parameters, batch->tenant);
	add_pointer(&parameters, batch->source);
	add_time(&parameters, read_clock().now);
	add_column(&parameters, batch, MEMBER_EVENT_ID, TEXTOID);
	add_column(&parameters, batch, MEMBER_PAYLOAD, JSONBOID);
	count = run_set_statement(&batch->extension, SELECT_EVENTS, &parameters);
	table = SPI_tuptable;
	expired_ids = palloc(count * sizeof(Datum));

	for (uint64 i = 0; i < count; i++)
	{
		bool		isnull;
		Datum		is_expired = SPI_getbinval(table->vals[i], table->tupdesc,
											DUPLICATE_IS_EXPIRED, &isnull);

		element = next_unsettled(batch, element + 1);
		if (!isnull && DatumGetBool(is_expired))
		{
			/* others of the batch, which may count on it, are there by now */
			if (get_turn(batch, element) == TURN_LOOK)
				give_turn(batch, element, TURN_OWN);
			expired_ids[expired++] = batch->values[MEMBER_EVENT_ID][element];
			continue;
		}
		batch->is_settled[element] = true;
		batch->state[element] = text_column(table, i, DUPLICATE_STATE);
		batch->payload_changed[element] =
			DatumGetBool(datum_column(table, i, DUPLICATE_PAYLOAD_CHANGED));
	}
	if (expired > 0)
		delete_expired_events(&batch->extension, batch->tenant, batch->source,
							  expired_ids, expired, read_clock().now);
	return expired;
}

/*
 * Gives a turn to the first recorded event of each stream that counts on one
 * which was not recorded with it.
 */
static void
wake_streams(const Batch *batch)
{
	HTAB	   *streams = find_first_elements(batch, true);
	Datum	   *event_ids = palloc(batch->count * sizeof(Datum));
	int			count = 0;
	HASH_SEQ_STATUS status;
	NameEntry  *stream;
	Parameters	parameters = {0};

	hash_seq_init(&status, streams);
	while ((stream = hash_seq_search(&status)) != NULL)
	{
		if (get_turn(batch, stream->element) == TURN_WAIT)
			event_ids[count++] = batch->values[MEMBER_EVENT_ID][stream->element];
	}
	hash_destroy(streams);
	if (count == 0)
		return;

	add_pointer(&parameters, batch->tenant);
	add_pointer(&parameters, batch->source);
	add_texts(&parameters, event_ids, count);
	add_time(&parameters, batch->now);
	(void) run_statement(&batch->extension, GIVE_TURNS, &parameters,
						 NULL, NULL);
}

/*
 * Records what is new.  It begins again with those whose duplicate has
 * expired, or is gone since it was in the way.
 */
static void
record_batch(Batch *batch)
{
	int			unsettled = batch->count;

	give_turns(batch);
	if (insert_events(batch, unsettled))
		return;
	while ((unsettled = settle_duplicates(batch)) > 0)
	{
		CHECK_FOR_INTERRUPTS();
		if (insert_events(batch, unsettled))
			break;
	}
	wake_streams(batch);
}

/* Tells workers that listen, if there is something for them. */
static void
notify_of_batch(const Batch *batch)
{
	for (int i = 0; i < batch->count; i++)
	{
		if (batch->is_recorded[i] &&
			!DatumGetBool(batch->values[MEMBER_PROCESSED][i]))
		{
			notify_workers(batch->source);
			return;
		}
	}
}

/* The columns of webhook_inbox_record_batch's result. */
enum BatchResultColumn
{
	BATCH_EVENT_ID,
	BATCH_OUTCOME,
	BATCH_STATE,
	BATCH_PAYLOAD_CHANGED,
	NUM_BATCH_RESULT_COLUMNS
};

/* Returns what became of each element. */
static void
put_batch(const Batch *batch, ReturnSetInfo *result)
{
	for (int i = 0; i < batch->count; i++)
	{
		Datum		values[NUM_BATCH_RESULT_COLUMNS];
		bool		isnull[NUM_BATCH_RESULT_COLUMNS] = {0};
		Outcome		outcome = batch->is_recorded[i] ? OUTCOME_RECORDED :
			OUTCOME_DUPLICATE;
		EventId		id = {batch->tenant, batch->source,
		DatumGetTextPP(batch->values[MEMBER_EVENT_ID][i])};

		note_record(outcome, &id);
		values[BATCH_EVENT_ID] = batch->values[MEMBER_EVENT_ID][i];
		values[BATCH_OUTCOME] = text_datum(outcome_name(outcome));
		values[BATCH_STATE] = batch->state[i] != NULL ?
			PointerGetDatum(batch->state[i]) :
			text_datum(DatumGetBool(batch->values[MEMBER_PROCESSED][i]) ?
					   STATE_PROCESSED : STATE_PENDING);
		values[BATCH_PAYLOAD_CHANGED] = BoolGetDatum(batch->payload_changed[i]);
		tuplestore_putvalues(result->setResult, result->setDesc,
							 values, isnull);
	}
}

PG_FUNCTION_INFO_V1(webhook_inbox_record_batch);

Datum
webhook_inbox_record_batch(PG_FUNCTION_ARGS)
{
	Batch		batch = {0};
	Jsonb	   *events = jsonb_argument(fcinfo, 2);

	batch.tenant = tenant_argument(fcinfo, 0);
	batch.source = name_argument(fcinfo, 1, "source");
	if (events == NULL)
		report_bad_argument("events", "must not be null",
							"Pass an array of objects.");
	batch.now = read_clock().now;
	read_batch(&batch, events);
	check_may_write();
	batch.extension = find_extension(fcinfo, INBOX_TABLE);

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	record_batch(&batch);
	notify_of_batch(&batch);
	put_batch(&batch, (ReturnSetInfo *) fcinfo->resultinfo);
	SPI_finish();
	return (Datum) 0;
}
