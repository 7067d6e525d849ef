/*-------------------------------------------------------------------------
 *
 * stream.c
 *	  Streams, whose events are handed out one at a time and in order.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "storage/lmgr.h"

#include "lapsed.h"
#include "plans.h"
#include "stream.h"

/* so many turns of a blocked stream are worth being removed */
#define MANY_TURNS 8

/* What a fetch finds at the head of a stream. */
typedef enum HeadKind
{
	HEAD_NONE,					/* every event is finished */
	HEAD_BLOCKED,				/* one is in flight, or the first is not due */
	HEAD_LAPSED,				/* one was in flight until its lease lapsed */
	HEAD_READY,					/* the first can be handed out */
} HeadKind;

typedef struct Head
{
	HeadKind	kind;
	EventId		id;				/* of that event, unless there is none */
	int32		attempt;
} Head;

/* Whose turns are removed. */
typedef enum TurnsOf
{
	OF_WAITING,					/* pending events */
	OF_FINISHED_BY_OTHERS,		/* finished, not by this transaction */
	OF_FINISHED
} TurnsOf;

/* What became of a stream's events whose leases had lapsed. */
typedef struct Lapsed
{
	bool		any;			/* were there any? */
	List	   *buried;			/* the ids of those that are dead now */
} Lapsed;

/* The columns of SELECT_HEAD. */
enum HeadColumn
{
	HEAD_EVENT_ID,
	HEAD_STATE,
	HEAD_ATTEMPT,
	HEAD_NOT_DUE,
	NUM_HEAD_COLUMNS
};

bool
try_lock_stream(const StreamId *id, LOCKMODE mode)
{
	LOCKTAG		tag = stream_lock_tag(id);

	return try_optional_lock(&tag, mode);
}

/*
 * The table is locked first, which the statement does anyway.  Who closes all
 * streams at once has locked it, and what the statement reads has to be of
 * after that.
 */
bool
try_record_in_stream(const Extension *extension, const StreamId *id)
{
	LockRelationOid(extension->table, RowExclusiveLock);
	return try_lock_stream(id, STREAM_RECORDING);
}

bool
lock_stream(const StreamId *id, LOCKMODE mode)
{
	LOCKTAG		tag = stream_lock_tag(id);

	return take_optional_lock(&tag, mode);
}

bool
holds_stream_lock(const StreamId *id, LOCKMODE mode)
{
	LOCKTAG		tag = stream_lock_tag(id);

	return LockHeldByMe(&tag, mode, false);
}

void
unlock_stream(const StreamId *id, LOCKMODE mode)
{
	LOCKTAG		tag = stream_lock_tag(id);

	drop_lock(&tag, mode);
}

/* Looks at the head of a stream. */
static Head
read_head(const Extension *extension, const StreamId *id, TimestampTz now)
{
	Head		head = {.kind = HEAD_NONE};
	Parameters	parameters = {0};
	Datum		values[NUM_HEAD_COLUMNS];
	bool		isnull[NUM_HEAD_COLUMNS];

	add_pointer(&parameters, id->tenant);
	add_pointer(&parameters, id->source);
	add_pointer(&parameters, id->stream);
	add_time(&parameters, now);
	if (run_statement(extension, SELECT_HEAD, &parameters,
					  values, isnull) == 0)
		return head;

	head.id.tenant = id->tenant;
	head.id.source = id->source;
	head.id.event_id = DatumGetTextPP(values[HEAD_EVENT_ID]);
	head.attempt = DatumGetInt32(values[HEAD_ATTEMPT]);

	/* an event without a turn has no due_at, and is ready when it is first */
	if (!isnull[HEAD_NOT_DUE] && DatumGetBool(values[HEAD_NOT_DUE]))
		head.kind = HEAD_BLOCKED;
	else if (is_state(DatumGetTextPP(values[HEAD_STATE]), STATE_PROCESSING))
		head.kind = HEAD_LAPSED;
	else
		head.kind = HEAD_READY;
	return head;
}

/* Tells whether two names are the same. */
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

/* Tells whether a row belongs to a stream. */
static bool
is_of_stream(const DueRow *row, const StreamId *id)
{
	return row->stream != NULL && same_text(row->stream, id->stream) &&
		same_text(row->id.source, id->source) &&
		same_text(row->id.tenant, id->tenant);
}

/* Tells whether a listed row is one of those meant. */
static bool
is_meant(const DueRow *row, TurnsOf whose)
{
	if (row->has_lapsed || row->is_finished != (whose != OF_WAITING))
		return false;
	return whose != OF_FINISHED_BY_OTHERS || !row->is_ours;
}

/*
 * Removes the turns of a stream's listed rows, of those that are meant, and
 * of those that were buried.  The head keeps its own; so does the first that
 * waits, which may come before one in flight that is failed for an hour; and
 * so does what has changed since it was listed.
 */
static void
remove_turns(const Fetch *fetch, const StreamId *id, DueList *list,
			 TurnsOf whose, List *buried, const Head *head)
{
	Datum	   *event_ids = palloc((list->count + list_length(buried)) *
								   sizeof(Datum));
	int			count = 0;
	Parameters	parameters = {0};
	ListCell   *cell;

	for (int i = 0; i < list->count; i++)
	{
		const DueRow *row = &list->rows[i];

		if (is_of_stream(row, id) && is_meant(row, whose) &&
			!is_head(row, head))
			event_ids[count++] = PointerGetDatum(row->id.event_id);
	}
	foreach(cell, buried)
		event_ids[count++] = PointerGetDatum(lfirst(cell));
	if (count == 0)
		return;

	add_pointer(&parameters, id->tenant);
	add_pointer(&parameters, id->source);
	add_texts(&parameters, event_ids, count);
	add_boolean(&parameters, whose != OF_WAITING);
	add_pointer(&parameters, id->stream);
	list->removed += (int) run_statement(fetch->extension, REMOVE_TURNS,
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
 * Removes the turns of a stream that has nothing to hand out, if it can
 * be made sure that nobody is recording what counts on them.
 */
static void
close_stream(const Fetch *fetch, const StreamId *id, DueList *list,
			 List *buried)
{
	Head		head;

	if (!try_lock_stream(id, STREAM_CLOSING))
		return;
	head = read_head(fetch->extension, id, fetch->clock.now);
	if (head.kind == HEAD_NONE)
		remove_turns(fetch, id, list, OF_FINISHED, buried, &head);
	else
		unlock_stream(id, STREAM_CLOSING);
}

/* Tells whether the head is among the listed rows. */
static bool
is_listed(const DueList *list, const StreamId *id, const Head *head)
{
	for (int i = 0; i < list->count; i++)
	{
		if (is_of_stream(&list->rows[i], id) && is_head(&list->rows[i], head))
			return true;
	}
	return false;
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
 * Hands out the head, and removes the turns that the stream has beside its.
 *
 * Those of finished events stay if somebody is recording (closing says that
 * nobody was when the head was looked for): what he records may count on
 * them, and come before the head.  So do those of events that are finished by
 * this transaction, for others still see them unfinished.
 */
static bool
hand_out_head(Fetch *fetch, const StreamId *id, DueList *list, bool closing,
			  const Head *head)
{
	if (!take_event(fetch, &head->id))
		return false;
	if (is_listed(list, id, head))
		list->removed++;
	remove_turns(fetch, id, list, OF_WAITING, NIL, head);
	if (closing)
		remove_turns(fetch, id, list, OF_FINISHED_BY_OTHERS, NIL, head);
	return true;
}

/*
 * Turns that are of no use to a blocked stream would be met by every fetch, so
 * they are removed if there are many.  A few are left: removing one locks its
 * row, and if that comes to be the next event, nobody can hand it out until
 * this transaction ends.
 *
 * A buried event that keeps its turn is due last now, not first.
 */
void
visit_stream(Fetch *fetch, DueList *list, const DueRow *row)
{
	StreamId	id = {row->id.tenant, row->id.source, row->stream};
	Lapsed		lapsed = {0};
	Head		head;
	int			turns;
	bool		closing;
	bool		handed_out;

	if (!try_lock_stream(&id, STREAM_FETCHING))
		return;
	turns = mark_stream(&id, list);
	closing = try_lock_stream(&id, STREAM_CLOSING);
	head = find_head(fetch, &id, &lapsed);
	handed_out = head.kind == HEAD_READY &&
		hand_out_head(fetch, &id, list, closing, &head);
	if (head.kind == HEAD_NONE)
		close_stream(fetch, &id, list, lapsed.buried);
	else if (head.kind == HEAD_BLOCKED && turns >= MANY_TURNS)
		remove_turns(fetch, &id, list, OF_WAITING, NIL, &head);
	list->removed += list_length(lapsed.buried);

	if (closing)
		unlock_stream(&id, STREAM_CLOSING);
	if (!handed_out && !lapsed.any)
		unlock_stream(&id, STREAM_FETCHING);
}
