/*-------------------------------------------------------------------------
 *
 * statements.c
 *	  Every SQL statement that C code runs on the extension's tables.
 *
 * Each statement is prepared once in a session and kept.  A kept plan belongs
 * to one table: when DROP and CREATE EXTENSION have put another in its place,
 * all plans are thrown away.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "optimizer/cost.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

#include "statements.h"
#include "trust.h"

/* operators are qualified: whose search_path it is does not matter */
#define EQ " OPERATOR(pg_catalog.=) "
#define GT " OPERATOR(pg_catalog.>) "
#define LE " OPERATOR(pg_catalog.<=) "
#define PLUS " OPERATOR(pg_catalog.+) "

/* every statement on one key starts with these parameters */
#define KEY_IS \
	"tenant_id" EQ "$1 AND scope" EQ "$2 AND key" EQ "$3"
#define KEY_TYPES TEXTOID, TEXTOID, TEXTOID

/*
 * The other conditions are written so that no index can serve them.  Planned
 * on a table that was empty when it was analyzed, the index on expires_at
 * would seem cheaper than the primary key, and be read whole ever after.
 */
#define IS_ALIVE_AT(time) " AND (expires_at" GT time ") IS TRUE"
#define HAS_REQUEST " AND (request IS NULL) IS FALSE"

/* ... and one that only the holder of token $4 may run at time $5 with these */
#define KEY_IS_HELD \
	KEY_IS " AND token" EQ "$4 AND lease_expires_at IS NOT NULL" \
	IS_ALIVE_AT("$5")
#define HELD_KEY_TYPES KEY_TYPES, INT8OID, TIMESTAMPTZOID

typedef struct Statement
{
	const char *text;			/* %s is the qualified name of the table */
	Oid			types[MAX_PARAMETERS + 1];	/* of the parameters, then 0 */
} Statement;

static const Statement statements[NUM_STATEMENTS] = {
	[INSERT_KEY] = {
		/* hash, request, token, created_at, lease_expires_at, expires_at */
		"INSERT INTO %s (tenant_id, scope, key, request_hash, request, token,"
		" attempt, created_at, lease_expires_at, expires_at)"
		" VALUES ($1, $2, $3, $4, $5, $6, 1, $7, $8, $9)"
		" ON CONFLICT (tenant_id, scope, key) DO NOTHING",
		{KEY_TYPES, BYTEAOID, JSONBOID, INT8OID, TIMESTAMPTZOID,
		TIMESTAMPTZOID, TIMESTAMPTZOID}
	},
	[SELECT_KEY] = {
		/*
		 * The order of the columns is that of KeyColumn in key.h.  It is also
		 * the table's, with none left out: then the executor hands out rows
		 * as they are, instead of setting up to take them apart.
		 */
		"SELECT created_at, expires_at, lease_expires_at, completed_at,"
		" token, attempt, response_status, tenant_id, scope, key,"
		" request_hash, request, recovery_point, recovery_data,"
		" response_headers, response_body, response_bytes"
		" FROM %s WHERE " KEY_IS,
		{KEY_TYPES}
	},
	[RECLAIM_KEY] = {
		/* as INSERT_KEY, then the token that the expired row had */
		"UPDATE %s SET request_hash = $4, request = $5, token = $6,"
		" attempt = 1, created_at = $7, lease_expires_at = $8,"
		" expires_at = $9, completed_at = NULL, recovery_point = NULL,"
		" recovery_data = NULL, response_status = NULL,"
		" response_headers = NULL, response_body = NULL,"
		" response_bytes = NULL WHERE " KEY_IS " AND token" EQ "$10",
		{KEY_TYPES, BYTEAOID, JSONBOID, INT8OID, TIMESTAMPTZOID,
		TIMESTAMPTZOID, TIMESTAMPTZOID, INT8OID}
	},
	[RESUME_KEY] = {
		/* token, lease_expires_at, expires_at, request, previous token */
		"UPDATE %s SET token = $4, attempt = attempt" PLUS "1,"
		" lease_expires_at = $5, expires_at = GREATEST(expires_at, $6),"
		" request = COALESCE(request, $7)"
		" WHERE " KEY_IS " AND token" EQ "$8",
		{KEY_TYPES, INT8OID, TIMESTAMPTZOID, TIMESTAMPTZOID, JSONBOID,
		INT8OID}
	},
	[COMPLETE_KEY] = {
		/* status, headers, body, bytes, new expires_at or NULL */
		"UPDATE %s SET response_status = $6, response_headers = $7,"
		" response_body = $8, response_bytes = $9, completed_at = $5,"
		" lease_expires_at = NULL, request = NULL,"
		" expires_at = COALESCE($10, expires_at) WHERE " KEY_IS_HELD,
		{HELD_KEY_TYPES, INT4OID, JSONBOID, TEXTOID, BYTEAOID,
		TIMESTAMPTZOID}
	},
	[RELEASE_KEY] = {
		/* new expires_at or NULL */
		"UPDATE %s SET lease_expires_at = NULL,"
		" expires_at = COALESCE($6, expires_at) WHERE " KEY_IS_HELD,
		{HELD_KEY_TYPES, TIMESTAMPTZOID}
	},
	[CHECKPOINT_KEY] = {
		/* lease_expires_at, recovery_point, recovery_data */
		"UPDATE %s SET lease_expires_at = $6,"
		" expires_at = GREATEST(expires_at, $6), recovery_point = $7,"
		" recovery_data = $8 WHERE " KEY_IS_HELD,
		{HELD_KEY_TYPES, TIMESTAMPTZOID, TEXTOID, JSONBOID}
	},
	[HEARTBEAT_KEY] = {
		/* lease_expires_at */
		"UPDATE %s SET lease_expires_at = $6,"
		" expires_at = GREATEST(expires_at, $6) WHERE " KEY_IS_HELD,
		{HELD_KEY_TYPES, TIMESTAMPTZOID}
	},
	[DELETE_KEY] = {
		"DELETE FROM %s WHERE " KEY_IS,
		{KEY_TYPES}
	},
	[LIST_ABANDONED] = {
		/* now, tenant or NULL, scope or NULL, limit, offset */
		"SELECT tenant_id, scope, key FROM %s WHERE request IS NOT NULL"
		" AND lease_expires_at" LE "$1" IS_ALIVE_AT("$1")
		" AND ($2 IS NULL OR tenant_id" EQ "$2)"
		" AND ($3 IS NULL OR scope" EQ "$3)"
		" ORDER BY created_at LIMIT $4 OFFSET $5",
		{TIMESTAMPTZOID, TEXTOID, TEXTOID, INT8OID, INT8OID}
	},
	[RESUME_ABANDONED] = {
		/* when the lease had to end, least token, lease_expires_at, expires_at */
		"UPDATE %s SET token = GREATEST($5, token" PLUS "1),"
		" attempt = attempt" PLUS "1, lease_expires_at = $6,"
		" expires_at = GREATEST(expires_at, $7)"
		" WHERE " KEY_IS HAS_REQUEST
		" AND lease_expires_at" LE "$4" IS_ALIVE_AT("$4")
		" RETURNING token, attempt, request, recovery_point, recovery_data",
		{KEY_TYPES, TIMESTAMPTZOID, INT8OID, TIMESTAMPTZOID, TIMESTAMPTZOID}
	},
};

static void
add_datum(Parameters *parameters, Datum value, bool isnull)
{
	Assert(parameters->count < MAX_PARAMETERS);
	parameters->values[parameters->count] = value;
	parameters->nulls[parameters->count] = isnull ? 'n' : ' ';
	parameters->count++;
}

void
add_integer(Parameters *parameters, int32 value)
{
	add_datum(parameters, Int32GetDatum(value), false);
}

void
add_bigint(Parameters *parameters, int64 value)
{
	add_datum(parameters, Int64GetDatum(value), false);
}

void
add_time(Parameters *parameters, TimestampTz value)
{
	add_datum(parameters, TimestampTzGetDatum(value), false);
}

void
add_pointer(Parameters *parameters, const void *value)
{
	add_datum(parameters, PointerGetDatum(value), value == NULL);
}

void
add_null(Parameters *parameters)
{
	add_datum(parameters, (Datum) 0, true);
}

void
add_key(Parameters *parameters, const KeyId *id)
{
	add_pointer(parameters, id->tenant);
	add_pointer(parameters, id->scope);
	add_pointer(parameters, id->key);
}

static SPIPlanPtr plans[NUM_STATEMENTS];

/* the table that the kept plans are for */
static Oid	planned_table;

/* how many of our statements are running, one inside the other's trigger */
static int	depth;

/* Forgets a plan.  One that an outer statement may be running isn't freed. */
static void
discard_plan(StatementId id)
{
	if (plans[id] != NULL && depth == 1)
		SPI_freeplan(plans[id]);
	plans[id] = NULL;
}

/* Turns to another table, once it has shown to be ours. */
static void
adopt_table(const Extension *extension)
{
	if (planned_table == extension->keys)
		return;

	check_table_is_ours(extension);
	for (int id = 0; id < NUM_STATEMENTS; id++)
		discard_plan(id);
	planned_table = extension->keys;
}

static int
count_types(StatementId id)
{
	int			count = 0;

	while (OidIsValid(statements[id].types[count]))
		count++;
	return count;
}

/* Prepares a statement and keeps its plan. */
static void
prepare_statement(const Extension *extension, StatementId id)
{
	const Statement *statement = &statements[id];
	char	   *schema = get_namespace_name(extension->schema);
	char	   *table = get_rel_name(extension->keys);
	char	   *text;
	Oid			types[MAX_PARAMETERS + 1];
	SPIPlanPtr	plan;

	if (schema == NULL || table == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("extension \"idempotency\" was dropped during the call"),
				 errdetail("Its table is gone."),
				 errhint("Create the extension again.")));
	text = psprintf(statement->text, quote_qualified_identifier(schema, table));
	memcpy(types, statement->types, sizeof(types));
	plan = SPI_prepare_cursor(text, count_types(id), types,
							  CURSOR_OPT_GENERIC_PLAN);
	if (plan == NULL)
		elog(ERROR, "SPI_prepare_cursor returned %s for %s",
			 SPI_result_code_string(SPI_result), text);
	SPI_keepplan(plan);
	plans[id] = plan;
}

/*
 * Returns the kept plan of a statement, or makes one.
 *
 * A plan that ALTER TABLE or a renamed schema made invalid is prepared anew
 * from its text, which may have to name the schema differently by now.  So is
 * one that has followed the name to another table.
 */
static SPIPlanPtr
fetch_plan(const Extension *extension, StatementId id)
{
	adopt_table(extension);

	for (int attempt = 1; attempt <= 2; attempt++)
	{
		if (plans[id] != NULL && !SPI_plan_is_valid(plans[id]))
			discard_plan(id);
		if (plans[id] == NULL)
			prepare_statement(extension, id);
		if (is_plan_for_table(plans[id], extension))
			return plans[id];
		discard_plan(id);
	}
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("the extension's schema was renamed during the call"),
			 errdetail("Its table has another name by now."),
			 errhint("Try again.")));
	return NULL;				/* keep the compiler quiet */
}

/*
 * Fetches a plan that uses the index made for the statement.
 *
 * A plan made while the table was small would read all of it, and go on doing
 * so until the next ANALYZE, however fast the table grows; under SERIALIZABLE
 * such a plan conflicts with every other transaction.  So other ways are
 * switched off while the planner may run, which is here.
 */
static SPIPlanPtr
fetch_index_plan(const Extension *extension, StatementId id)
{
	bool		saved_seqscan = enable_seqscan;
	bool		saved_bitmapscan = enable_bitmapscan;
	bool		saved_sort = enable_sort;
	SPIPlanPtr	plan;

	PG_TRY();
	{
		enable_seqscan = enable_bitmapscan = enable_sort = false;
		plan = fetch_plan(extension, id);
	}
	PG_FINALLY();
	{
		enable_seqscan = saved_seqscan;
		enable_bitmapscan = saved_bitmapscan;
		enable_sort = saved_sort;
	}
	PG_END_TRY();
	return plan;
}

/*
 * Runs a statement as the owner of the tables, under the given snapshot, or
 * under the active one without writing if there is none.
 */
static uint64
execute_statement(const Extension *extension, StatementId id,
				  Parameters *parameters, Snapshot snapshot)
{
	bool		read_only = (snapshot == InvalidSnapshot);
	Oid			saved_user;
	int			saved_context;
	int			result;

	Assert(parameters->count == count_types(id));

	GetUserIdAndSecContext(&saved_user, &saved_context);
	SetUserIdAndSecContext(extension->owner,
						   saved_context | SECURITY_LOCAL_USERID_CHANGE |
						   SECURITY_NOFORCE_RLS);
	depth++;
	PG_TRY();
	{
		SPIPlanPtr	plan = fetch_index_plan(extension, id);

		check_triggers(extension);
		result = SPI_execute_snapshot(plan, parameters->values,
									  parameters->nulls, snapshot,
									  InvalidSnapshot, read_only, true, 0);
	}
	PG_FINALLY();
	{
		depth--;
	}
	PG_END_TRY();
	SetUserIdAndSecContext(saved_user, saved_context);

	if (result < 0)
		elog(ERROR, "SPI_execute_snapshot returned %s",
			 SPI_result_code_string(result));
	return SPI_processed;
}

/* Runs a statement in an SPI connection of its own. */
static uint64
connect_and_execute(const Extension *extension, StatementId id,
					Parameters *parameters, Snapshot snapshot,
					Datum *columns, bool *isnull)
{
	MemoryContext caller = CurrentMemoryContext;
	uint64		processed;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	processed = execute_statement(extension, id, parameters, snapshot);

	if (columns != NULL && processed > 0)
	{
		SPITupleTable *table = SPI_tuptable;
		MemoryContext connected = MemoryContextSwitchTo(caller);

		heap_deform_tuple(heap_copytuple(table->vals[0]), table->tupdesc,
						  columns, isnull);
		MemoryContextSwitchTo(connected);
	}
	SPI_finish();
	return processed;
}

uint64
run_statement(const Extension *extension, StatementId id,
			  Parameters *parameters, Datum *columns, bool *isnull)
{
	return connect_and_execute(extension, id, parameters, GetLatestSnapshot(),
							   columns, isnull);
}

uint64
run_stable_statement(const Extension *extension, StatementId id,
					 Parameters *parameters, Datum *columns, bool *isnull)
{
	return connect_and_execute(extension, id, parameters, InvalidSnapshot,
							   columns, isnull);
}

uint64
run_set_statement(const Extension *extension, StatementId id,
				  Parameters *parameters)
{
	return execute_statement(extension, id, parameters, GetLatestSnapshot());
}
