/*-------------------------------------------------------------------------
 *
 * fetch.h
 *	  Handing out events.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEMPOTENCY_FETCH_H
#define IDEMPOTENCY_FETCH_H

#include "access/htup.h"
#include "nodes/pg_list.h"
#include "utils/timestamp.h"

#include "extension.h"

/* Whose events: NULL is for all. */
typedef struct EventFilter
{
	text	   *source;
	text	   *tenant;
} EventFilter;

/* The columns of an event that was handed out, counted from 1. */
typedef enum FetchedColumn
{
	FETCHED_TENANT_ID = 1,
	FETCHED_SOURCE,
	FETCHED_EVENT_ID,
	FETCHED_TOKEN,
	FETCHED_ATTEMPT,
	FETCHED_EVENT_TYPE,
	FETCHED_PAYLOAD,
	FETCHED_HEADERS,
	FETCHED_STREAM,
	FETCHED_SEQUENCE,
	FETCHED_LATE,
	FETCHED_RECEIVED_AT
} FetchedColumn;

typedef struct FetchedEvent
{
	HeapTuple	tuple;			/* of the type webhook_event */
	TimestampTz received_at;
} FetchedEvent;

/*
 * Takes up to so many due events under a lease.  Returns a list of
 * FetchedEvent in the caller's memory context, in the order they were
 * received.
 */
extern List *fetch_events(const Extension *extension,
						  const EventFilter *filter, int max_events,
						  int64 lease);

#endif							/* IDEMPOTENCY_FETCH_H */
