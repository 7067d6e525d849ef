/*-------------------------------------------------------------------------
 *
 * due.h
 *	  Listing and taking events that are due.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEMPOTENCY_DUE_H
#define IDEMPOTENCY_DUE_H

#include "fetch.h"
#include "inbox.h"

/* A row that a fetch has to look at. */
typedef struct DueRow
{
	EventId		id;
	text	   *stream;			/* NULL if it belongs to none */
	bool		has_lapsed;		/* it was handed out, and not given back */
	bool		is_finished;	/* it only has a turn to pass on */
	int32		attempt;
	bool		is_ours;		/* this transaction has written it */
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

/* A call of fetch. */
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

/* Lists what is due, the longest due first, behind what couldn't be had. */
extern DueList list_due(const Fetch *fetch, int limit);

/*
 * Takes events that belong to no stream and were due by then, the longest
 * due first, except those that others hold.  Returns how many those were.
 */
extern int	take_due(Fetch *fetch, int limit, TimestampTz end);

/* Takes one event; false if somebody else has it, or had it meanwhile. */
extern bool take_event(Fetch *fetch, const EventId *id);

#endif							/* IDEMPOTENCY_DUE_H */
