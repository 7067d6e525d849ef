/*-------------------------------------------------------------------------
 *
 * stats.c
 *	  Counting what the functions have answered.
 *
 * Shared memory is had in one of two ways: from the start, if the module is
 * in shared_preload_libraries; or on first use, from PostgreSQL 17 on.
 * Otherwise nothing is counted.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/ipc.h"
#include "storage/shmem.h"
#include "utils/resowner.h"
#include "utils/timestamp.h"

#if PG_VERSION_NUM >= 170000
#include "storage/dsm_registry.h"
#endif

#include "arguments.h"
#include "compat.h"
#include "pin.h"
#include "result.h"
#include "stats.h"

/*
 * Databases that can be counted.  A cluster that has more doesn't count them,
 * and a dropped one keeps its slot until the server starts anew.
 */
#define MAX_DATABASES 1024

/* The counters of a database. */
typedef struct DatabaseStats
{
	pg_atomic_uint32 database;	/* InvalidOid: the slot is free */
	pg_atomic_uint64 reset_at;	/* a TimestampTz */
	pg_atomic_uint64 counters[NUM_COUNTERS];
} DatabaseStats;

static DatabaseStats *all_stats;

/* of the current database; NULL until it is found */
static DatabaseStats *our_stats;

/* there is no shared memory, or no slot in it: don't look again */
static bool unavailable;

static shmem_request_hook_type previous_request_hook;
static shmem_startup_hook_type previous_startup_hook;

#define STATS_SIZE (MAX_DATABASES * sizeof(DatabaseStats))

/* Makes all slots free. */
static void
clear_stats(void *memory)
{
	DatabaseStats *stats = memory;
	TimestampTz now = GetCurrentTimestamp();

	for (int i = 0; i < MAX_DATABASES; i++)
	{
		pg_atomic_init_u32(&stats[i].database, InvalidOid);
		pg_atomic_init_u64(&stats[i].reset_at, now);
		for (int counter = 0; counter < NUM_COUNTERS; counter++)
			pg_atomic_init_u64(&stats[i].counters[counter], 0);
	}
}

static void
request_memory(void)
{
	if (previous_request_hook)
		previous_request_hook();
	RequestAddinShmemSpace(STATS_SIZE);
}

static void
start_memory(void)
{
	bool		found;

	if (previous_startup_hook)
		previous_startup_hook();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	all_stats = ShmemInitStruct("idempotency", STATS_SIZE, &found);
	if (!found)
		clear_stats(all_stats);
	LWLockRelease(AddinShmemInitLock);
}

void
init_stats(void)
{
	if (!process_shared_preload_libraries_in_progress)
		return;
	previous_request_hook = shmem_request_hook;
	shmem_request_hook = request_memory;
	previous_startup_hook = shmem_startup_hook;
	shmem_startup_hook = start_memory;
}

/*
 * Attaches to memory that the server makes on first use.
 *
 * A server that has no more of it must not fail a claim for that.  The
 * subtransaction cleans up behind the error.
 */
static void
attach_memory(void)
{
#if PG_VERSION_NUM >= 170000
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;

	if (!IsUnderPostmaster)
		return;
	BeginInternalSubTransaction(NULL);
	PG_TRY();
	{
		bool		found;

		all_stats = GetNamedDSMSegment("idempotency", STATS_SIZE,
									   clear_stats, &found);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
#endif
}

/* Finds the slot of the current database, or takes one; NULL if all are taken. */
static DatabaseStats *
find_slot(void)
{
	for (int i = 0; i < MAX_DATABASES; i++)
	{
		DatabaseStats *slot = &all_stats[(MyDatabaseId + i) % MAX_DATABASES];
		uint32		database = InvalidOid;

		if (pg_atomic_compare_exchange_u32(&slot->database, &database,
										   MyDatabaseId) ||
			database == MyDatabaseId)
			return slot;
	}
	return NULL;
}

/* Finds the counters of the current database, unless that has failed before. */
static bool
find_stats(void)
{
	if (our_stats != NULL)
		return true;
	if (unavailable)
		return false;
	if (all_stats == NULL)
		attach_memory();
	if (all_stats != NULL)
		our_stats = find_slot();
	unavailable = our_stats == NULL;
	return !unavailable;
}

void
add_to_stats(Counter counter, uint64 number)
{
	if (find_stats())
		(void) pg_atomic_fetch_add_u64(&our_stats->counters[counter], number);
}

/*
 * The counters are of all tenants together, so they are none of a pinned
 * role's business.
 */
static void
check_may_see_stats(void)
{
	if (tenant_pin()[0] != '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for the counters of all tenants"),
				 errdetail("This session may only name the tenant that idempotency.tenant pins."),
				 errhint("Connect as a role that is not pinned.")));
	if (!find_stats())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("nothing is counted"),
				 all_stats == NULL ?
				 errdetail("There is no shared memory for counters.") :
				 errdetail("All %d sets of counters are taken, some perhaps by databases that were dropped.",
						   MAX_DATABASES),
				 all_stats == NULL ?
				 errhint("Add \"idempotency\" to shared_preload_libraries and restart the server.") :
				 errhint("Restart the server.")));
}

/* The columns of idempotency_stats: the counters, then one more. */
static const ResultColumn stats_columns[NUM_COUNTERS + 1] = {
	[COUNT_CLAIMED] = {"claimed", INT8OID},
	[COUNT_RESUMED] = {"resumed", INT8OID},
	[COUNT_REPLAYED] = {"replayed", INT8OID},
	[COUNT_IN_PROGRESS] = {"in_progress", INT8OID},
	[COUNT_MISMATCH] = {"mismatch", INT8OID},
	[COUNT_GONE] = {"gone", INT8OID},
	[COUNT_COMPLETED] = {"completed", INT8OID},
	[COUNT_RELEASED] = {"released", INT8OID},
	[COUNT_CLAIM_LOST] = {"claim_lost", INT8OID},
	[COUNT_RECORDED] = {"recorded", INT8OID},
	[COUNT_DUPLICATE] = {"duplicate", INT8OID},
	[COUNT_FETCHED] = {"fetched", INT8OID},
	[COUNT_RETRIED] = {"retried", INT8OID},
	[COUNT_DEAD] = {"dead", INT8OID},
	[COUNT_SWEPT] = {"swept", INT8OID},
	[NUM_COUNTERS] = {"stats_reset", TIMESTAMPTZOID},
};

PG_FUNCTION_INFO_V1(idempotency_stats);
PG_FUNCTION_INFO_V1(idempotency_stats_reset);

Datum
idempotency_stats(PG_FUNCTION_ARGS)
{
	static TupleDesc type;
	Datum		values[NUM_COUNTERS + 1];
	bool		isnull[NUM_COUNTERS + 1] = {0};

	check_may_see_stats();
	for (int counter = 0; counter < NUM_COUNTERS; counter++)
		values[counter] =
			UInt64GetDatum(pg_atomic_read_u64(&our_stats->counters[counter]));
	values[NUM_COUNTERS] =
		TimestampTzGetDatum(pg_atomic_read_u64(&our_stats->reset_at));
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(result_type(stats_columns, lengthof(stats_columns), &type),
													  values, isnull)));
}

Datum
idempotency_stats_reset(PG_FUNCTION_ARGS)
{
	check_may_see_stats();
	for (int counter = 0; counter < NUM_COUNTERS; counter++)
		pg_atomic_write_u64(&our_stats->counters[counter], 0);
	pg_atomic_write_u64(&our_stats->reset_at, GetCurrentTimestamp());
	PG_RETURN_VOID();
}
