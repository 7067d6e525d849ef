/*-------------------------------------------------------------------------
 *
 * activity.c
 *	  What there is to do, and where it has stopped: counted in the tables.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "funcapi.h"

#include "arguments.h"
#include "compat.h"
#include "plans.h"

/*
 * The columns of idempotency_activity: a tenant, then those of SUMMARIZE_KEYS
 * or those of SUMMARIZE_INBOX.
 */
enum ActivityColumn
{
	ACTIVITY_TENANT,
	ACTIVITY_SCOPE,
	ACTIVITY_IN_PROGRESS,
	ACTIVITY_LAPSED,
	ACTIVITY_RELEASED,
	ACTIVITY_COMPLETED,
	ACTIVITY_OLDEST,
	ACTIVITY_SOURCE,
	ACTIVITY_BACKLOG,
	ACTIVITY_OLDEST_DUE,
	ACTIVITY_DEAD,
	NUM_ACTIVITY_COLUMNS
};

/* Adds the rows of a summary, whose second column is the given one. */
static void
put_summary(FunctionCallInfo fcinfo, TableId table_id, StatementId statement,
			enum ActivityColumn first)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Extension	extension = find_extension(fcinfo, table_id);
	Parameters	parameters = {0};
	uint64		count;
	SPITupleTable *table;

	add_time(&parameters, read_clock().now);
	add_pointer(&parameters, tenant_filter());
	count = run_set_statement(&extension, statement, &parameters);
	table = SPI_tuptable;
	for (uint64 i = 0; i < count; i++)
	{
		Datum		values[NUM_ACTIVITY_COLUMNS];
		bool		isnull[NUM_ACTIVITY_COLUMNS];

		memset(isnull, true, sizeof(isnull));
		for (int column = 0; column < table->tupdesc->natts; column++)
		{
			int			target = column == 0 ? ACTIVITY_TENANT :
				(int) first + column - 1;

			values[target] = SPI_getbinval(table->vals[i], table->tupdesc,
										   column + 1, &isnull[target]);
		}
		tuplestore_putvalues(result->setResult, result->setDesc,
							 values, isnull);
	}
	SPI_freetuptable(table);
}

PG_FUNCTION_INFO_V1(idempotency_activity);

Datum
idempotency_activity(PG_FUNCTION_ARGS)
{
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	put_summary(fcinfo, KEYS_TABLE, SUMMARIZE_KEYS, ACTIVITY_SCOPE);
	put_summary(fcinfo, INBOX_TABLE, SUMMARIZE_INBOX, ACTIVITY_SOURCE);
	SPI_finish();
	return (Datum) 0;
}
