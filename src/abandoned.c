/*-------------------------------------------------------------------------
 *
 * abandoned.c
 *	  Claiming the keys of holders that died, for a worker that finishes
 *	  their requests.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/spi.h"
#include "miscadmin.h"

#include "arguments.h"
#include "compat.h"
#include "lock.h"
#include "outcome.h"
#include "plans.h"
#include "result.h"
#include "settings.h"

/* The columns of LIST_ABANDONED. */
enum ListedColumn
{
	LISTED_TENANT,
	LISTED_SCOPE,
	LISTED_KEY,
	NUM_LISTED_COLUMNS
};

/* The columns of RESUME_ABANDONED, which follow those in the result. */
enum ResumedColumn
{
	RESUMED_TOKEN,
	RESUMED_ATTEMPT,
	RESUMED_REQUEST,
	RESUMED_RECOVERY_POINT,
	RESUMED_RECOVERY_DATA,
	NUM_RESUMED_COLUMNS
};

/* A call of the function. */
typedef struct Search
{
	Extension	extension;
	text	   *tenant;			/* NULL for all */
	text	   *scope;			/* NULL for all */
	int64		lease;
	TimestampTz started;		/* leases that ended by then are abandoned */
} Search;

/*
 * Takes a key over, if its lock is free and it still is abandoned, and adds
 * it to the result.
 */
static bool
resume_abandoned(const Search *search, const KeyId *id, ReturnSetInfo *result)
{
	LOCKTAG		tag = key_lock_tag(id);
	Clock		clock = read_clock();
	int64		lease = Min(search->lease, success_ttl);
	Parameters	parameters = {0};
	Datum		values[NUM_LISTED_COLUMNS + NUM_RESUMED_COLUMNS];
	bool		isnull[NUM_LISTED_COLUMNS + NUM_RESUMED_COLUMNS] = {0};

	if (!try_lock(&tag, ExclusiveLock))
		return false;

	add_key(&parameters, id);
	add_time(&parameters, search->started);
	add_bigint(&parameters, clock.token);
	add_time(&parameters, time_after(clock.now, lease, "lease"));
	add_time(&parameters, time_after(clock.now, success_ttl,
									 "idempotency.success_ttl"));
	if (run_statement(&search->extension, RESUME_ABANDONED, &parameters,
					  values + NUM_LISTED_COLUMNS,
					  isnull + NUM_LISTED_COLUMNS) == 0)
	{
		drop_lock(&tag, ExclusiveLock);
		return false;
	}

	drop_surplus_lock(&tag, ExclusiveLock);
	note_claim(OUTCOME_RESUMED, id);
	values[LISTED_TENANT] = PointerGetDatum(id->tenant);
	values[LISTED_SCOPE] = PointerGetDatum(id->scope);
	values[LISTED_KEY] = PointerGetDatum(id->key);
	tuplestore_putvalues(result->setResult, result->setDesc, values, isnull);
	return true;
}

/*
 * Lists keys that look abandoned, the oldest first.  What this call has taken
 * over is not listed again, however short its new lease.
 */
static uint64
list_abandoned(const Search *search, int64 limit, int64 offset)
{
	Parameters	parameters = {0};

	add_time(&parameters, search->started);
	add_pointer(&parameters, search->tenant);
	add_pointer(&parameters, search->scope);
	add_bigint(&parameters, limit);
	add_bigint(&parameters, offset);
	return run_set_statement(&search->extension, LIST_ABANDONED, &parameters);
}

/* Takes over what was listed; returns how many keys that were. */
static int
resume_listed(const Search *search, const SPITupleTable *table, uint64 count,
			  ReturnSetInfo *result)
{
	int			resumed = 0;

	for (uint64 i = 0; i < count; i++)
	{
		KeyId		id;

		id.tenant = text_column(table, i, LISTED_TENANT + 1);
		id.scope = text_column(table, i, LISTED_SCOPE + 1);
		id.key = text_column(table, i, LISTED_KEY + 1);
		if (resume_abandoned(search, &id, result))
			resumed++;
	}
	return resumed;
}

/*
 * Lists and takes over until there are max_rows or no more are left.
 *
 * A key that another worker has locked is skipped, not waited for.  It stays
 * in the next list, so that list begins behind all those skipped so far.  If
 * one of them leaves the list meanwhile, another is missed until the next
 * call.
 */
static void
resume_up_to(const Search *search, int max_rows, ReturnSetInfo *result)
{
	int			resumed = 0;
	int64		skipped = 0;

	while (resumed < max_rows)
	{
		uint64		count = list_abandoned(search, max_rows - resumed, skipped);
		SPITupleTable *table = SPI_tuptable;
		int			taken;

		if (count == 0)
			break;
		taken = resume_listed(search, table, count, result);
		resumed += taken;
		skipped += count - taken;
		SPI_freetuptable(table);
		CHECK_FOR_INTERRUPTS();
	}
}

PG_FUNCTION_INFO_V1(idempotency_claim_abandoned);

Datum
idempotency_claim_abandoned(PG_FUNCTION_ARGS)
{
	int			max_rows = count_argument(fcinfo, 0, "max_rows");
	Search		search;

	search.tenant = tenant_filter_argument(fcinfo, 1);
	search.scope = scope_filter_argument(fcinfo, 2);
	search.lease = duration_argument(fcinfo, 3, "lease", default_lease);
	check_may_write();
	search.extension = find_extension(fcinfo, KEYS_TABLE);
	search.started = read_clock().now;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	resume_up_to(&search, max_rows, (ReturnSetInfo *) fcinfo->resultinfo);
	SPI_finish();
	return (Datum) 0;
}
