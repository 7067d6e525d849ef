/*-------------------------------------------------------------------------
 *
 * sweep.c
 *	  Deleting what has expired.
 *
 * A claim inserts its row before it looks, so it waits for whoever is just
 * deleting a row of the same key; unless that transaction has the key's lock,
 * when it answers at once.  So the sweep locks what it deletes, but only ever
 * tries to: what it can't have is left for the next one.
 *
 * A transaction may take some hundreds of locks only, see lock.h.  The sweep
 * deletes the rest of its batch without.  Then a claim of one of these very
 * keys waits for the sweep's transaction, which is over in a moment, unless it
 * was begun by hand and left open.
 *
 * Nothing of the kind is needed for events.  Nobody is answered before it is
 * certain whether the old row is gone, so whoever records a swept event
 * anew has to wait for that.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"

#include "arguments.h"
#include "compat.h"
#include "lock.h"
#include "plans.h"
#include "result.h"
#include "settings.h"
#include "stats.h"

/* how many expired keys are listed at least, so that none that can't be had
 * hides those behind it; and at most, at once */
#define LEAST_LISTED 1000
#define MOST_LISTED 10000

/* The columns of LIST_EXPIRED_KEYS. */
enum ExpiredColumn
{
	EXPIRED_CTID = 1,
	EXPIRED_TENANT,
	EXPIRED_SCOPE,
	EXPIRED_KEY,
	EXPIRED_AT,
	EXPIRED_FOR_GOOD			/* no tombstone is due, or it is over */
};

/* A call of the function. */
typedef struct Sweep
{
	text	   *tenant;			/* NULL for all */
	int			max_rows;
	TimestampTz now;
	TimestampTz forgotten_before;	/* what expired by then leaves no tombstone */
} Sweep;

/* Rows of a list, by their places (ctid). */
typedef struct Places
{
	Datum	   *values;
	int			count;
} Places;

/* Tries to lock a key, or does without where too many are locked already. */
static bool
try_lock_key(const KeyId *id)
{
	LOCKTAG		tag = key_lock_tag(id);

	return !may_lock_more() || try_lock(&tag, ExclusiveLock);
}

/* Deletes or empties rows; returns how many. */
static int64
sweep_places(const Extension *extension, const Sweep *sweep,
			 StatementId statement, const Places *places)
{
	Parameters	parameters = {0};

	if (places->count == 0)
		return 0;
	add_places(&parameters, places->values, places->count);
	add_time(&parameters, sweep->now);
	add_pointer(&parameters, sweep->tenant);
	if (statement == EMPTY_EXPIRED_KEYS)
		add_interval(&parameters, tombstone_ttl);
	return (int64) run_statement(extension, statement, &parameters,
								 NULL, NULL);
}

/* Lists keys that expired from then on; returns how many. */
static int
list_expired_keys(const Extension *extension, const Sweep *sweep,
				  TimestampTz from, int limit)
{
	Parameters	parameters = {0};

	add_time(&parameters, sweep->now);
	add_pointer(&parameters, sweep->tenant);
	add_time(&parameters, from);
	add_bigint(&parameters, limit);
	add_time(&parameters, sweep->forgotten_before);
	return (int) run_set_statement(extension, LIST_EXPIRED_KEYS, &parameters);
}

/* Sweeps so many keys of a list at most; returns how many. */
static int64
sweep_listed_keys(const Extension *extension, const Sweep *sweep,
				  const SPITupleTable *table, int count, int64 wanted)
{
	Places		emptied = {palloc(count * sizeof(Datum)), 0};
	Places		deleted = {palloc(count * sizeof(Datum)), 0};

	for (int i = 0; i < count && emptied.count + deleted.count < wanted; i++)
	{
		KeyId		id;
		Places	   *places;

		id.tenant = text_column(table, i, EXPIRED_TENANT);
		id.scope = text_column(table, i, EXPIRED_SCOPE);
		id.key = text_column(table, i, EXPIRED_KEY);
		if (!try_lock_key(&id))
			continue;
		places = DatumGetBool(datum_column(table, i, EXPIRED_FOR_GOOD)) ?
			&deleted : &emptied;
		places->values[places->count++] = datum_column(table, i,
													   EXPIRED_CTID);
	}
	return sweep_places(extension, sweep, EMPTY_EXPIRED_KEYS, &emptied) +
		sweep_places(extension, sweep, DELETE_EXPIRED_KEYS, &deleted);
}

/*
 * Sweeps expired keys, the longest expired first; returns how many.
 *
 * Each list begins at the time where the one before ended, behind what that
 * one has deleted.  It ends where nothing of a list can be had, which others
 * are at work on.
 */
static int64
sweep_keys(const Extension *extension, const Sweep *sweep)
{
	TimestampTz from = DT_NOBEGIN;
	int64		total = 0;
	MemoryContext connected;
	MemoryContext per_list;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	per_list = AllocSetContextCreate(CurrentMemoryContext,
									 "idempotency sweep",
									 ALLOCSET_DEFAULT_SIZES);
	connected = MemoryContextSwitchTo(per_list);
	while (total < sweep->max_rows)
	{
		int64		wanted = sweep->max_rows - total;
		int			limit = (int) Min(Max(wanted, LEAST_LISTED), MOST_LISTED);
		int			count = list_expired_keys(extension, sweep, from, limit);
		SPITupleTable *table = SPI_tuptable;
		int64		swept = 0;

		if (count > 0)
		{
			swept = sweep_listed_keys(extension, sweep, table, count, wanted);
			from = DatumGetTimestampTz(datum_column(table, count - 1,
													EXPIRED_AT));
		}
		SPI_freetuptable(table);
		MemoryContextReset(per_list);
		total += swept;
		if (count < limit || swept == 0)
			break;
		CHECK_FOR_INTERRUPTS();
	}
	MemoryContextSwitchTo(connected);
	SPI_finish();
	return total;
}

/* Deletes finished events that have expired; returns how many. */
static int64
sweep_events(const Extension *extension, const Sweep *sweep)
{
	Parameters	parameters = {0};

	add_time(&parameters, sweep->now);
	add_pointer(&parameters, sweep->tenant);
	add_bigint(&parameters, sweep->max_rows);
	return (int64) run_statement(extension, SWEEP_EVENTS, &parameters,
								 NULL, NULL);
}

/* The time before which what expired leaves no tombstone, or has had it. */
static TimestampTz
forgotten_before(TimestampTz now)
{
	/* an ERROR, if the setting leads beyond the calendar */
	(void) time_after(now, tombstone_ttl, "idempotency.tombstone_ttl");

	if (tombstone_ttl > now - MIN_TIMESTAMP)
		return MIN_TIMESTAMP;
	return now - tombstone_ttl;
}

static const ResultColumn sweep_columns[] = {
	{"keys", INT8OID},
	{"events", INT8OID},
};

PG_FUNCTION_INFO_V1(idempotency_sweep);

Datum
idempotency_sweep(PG_FUNCTION_ARGS)
{
	static TupleDesc type;
	Extension	keys_table = find_extension(fcinfo, KEYS_TABLE);
	Extension	inbox_table = find_extension(fcinfo, INBOX_TABLE);
	int64		keys;
	int64		events;
	Sweep		sweep = {.now = read_clock().now};
	Datum		values[lengthof(sweep_columns)];
	bool		isnull[lengthof(sweep_columns)] = {0};

	sweep.max_rows = count_argument(fcinfo, 0, "max_rows");
	sweep.tenant = tenant_filter();
	sweep.forgotten_before = forgotten_before(sweep.now);
	check_may_write();

	keys = sweep_keys(&keys_table, &sweep);
	events = sweep_events(&inbox_table, &sweep);
	add_to_stats(COUNT_SWEPT, keys + events);
	values[0] = Int64GetDatum(keys);
	values[1] = Int64GetDatum(events);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(result_type(sweep_columns, lengthof(sweep_columns), &type),
													  values, isnull)));
}
