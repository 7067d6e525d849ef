/*-------------------------------------------------------------------------
 *
 * forget_tenant.c
 *	  Deleting all that is a tenant's.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/lmgr.h"

#include "arguments.h"
#include "compat.h"
#include "plans.h"
#include "stream.h"

/* The columns of LIST_TENANT_STREAMS and DELETE_TENANT_EVENTS. */
enum StreamColumn
{
	STREAM_SOURCE = 1,
	STREAM_STREAM,
	STREAM_COUNT				/* of the deleted events */
};

/* Deletes a tenant's keys; returns how many. */
static int64
delete_keys(const Extension *extension, text *tenant)
{
	Parameters	parameters = {0};

	add_pointer(&parameters, tenant);
	return (int64) run_statement(extension, DELETE_TENANT_KEYS, &parameters,
								 NULL, NULL);
}

/* Returns a stream that was listed; its stream is NULL for events in none. */
static StreamId
listed_stream(const SPITupleTable *table, uint64 row, text *tenant)
{
	StreamId	id = {.tenant = tenant};

	id.source = text_column(table, row, STREAM_SOURCE);
	id.stream = text_column(table, row, STREAM_STREAM);
	return id;
}

/*
 * Closes the listed streams, waiting for those who record or fetch there; all
 * of the inbox, if they are too many to be locked one by one.  Returns whether
 * they were closed before.
 */
static bool
close_streams(const Extension *extension, text *tenant,
			  const SPITupleTable *table, uint64 count)
{
	bool		were_closed = true;

	for (uint64 i = 0; i < count; i++)
	{
		StreamId	id = listed_stream(table, i, tenant);

		if (id.stream == NULL || holds_stream_lock(&id, STREAM_CLOSING) ||
			CheckRelationOidLockedByMe(extension->table,
									   ShareRowExclusiveLock, true))
			continue;
		were_closed = false;
		if (!lock_stream(&id, STREAM_CLOSING))
			LockRelationOid(extension->table, ShareRowExclusiveLock);
	}
	return were_closed;
}

/* Closes the streams of a tenant in which somebody may count on a turn. */
static void
close_tenant_streams(const Extension *extension, text *tenant)
{
	Parameters	parameters = {0};
	uint64		count;

	add_pointer(&parameters, tenant);
	count = run_set_statement(extension, LIST_TENANT_STREAMS, &parameters);
	(void) close_streams(extension, tenant, SPI_tuptable, count);
}

/*
 * Deletes a tenant's events; returns how many.
 *
 * An event that is being recorded may count on the turn of one that is
 * deleted, and would never be handed out.  So the streams are closed first.
 * One that began only after they were listed is closed next, which waits for
 * such an event, and that is deleted, too.
 */
static int64
delete_events(const Extension *extension, text *tenant)
{
	int64		deleted = 0;
	bool		were_closed;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	close_tenant_streams(extension, tenant);
	do
	{
		Parameters	parameters = {0};
		uint64		count;
		SPITupleTable *table;

		CHECK_FOR_INTERRUPTS();
		add_pointer(&parameters, tenant);
		count = run_set_statement(extension, DELETE_TENANT_EVENTS,
								  &parameters);
		table = SPI_tuptable;
		for (uint64 i = 0; i < count; i++)
			deleted += DatumGetInt64(datum_column(table, i, STREAM_COUNT));
		were_closed = close_streams(extension, tenant, table, count);
		SPI_freetuptable(table);
	} while (!were_closed);
	SPI_finish();
	return deleted;
}

PG_FUNCTION_INFO_V1(idempotency_forget_tenant);

Datum
idempotency_forget_tenant(PG_FUNCTION_ARGS)
{
	text	   *tenant = tenant_argument(fcinfo, 0);
	Extension	keys;
	Extension	inbox;

	check_may_write();
	keys = find_extension(fcinfo, KEYS_TABLE);
	inbox = find_extension(fcinfo, INBOX_TABLE);
	PG_RETURN_INT64(delete_events(&inbox, tenant) +
					delete_keys(&keys, tenant));
}
