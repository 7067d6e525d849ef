/*-------------------------------------------------------------------------
 *
 * lookup.c
 *	  Looking at a key without claiming it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "arguments.h"
#include "compat.h"
#include "result.h"

/* The columns of idempotency_lookup's result. */
static const KeyColumn lookup_columns[] = {
	/* the state comes first; it is no column of the row */
	KEY_ATTEMPT,
	KEY_RECOVERY_POINT,
	KEY_RECOVERY_DATA,
	KEY_RESPONSE_STATUS,
	KEY_RESPONSE_HEADERS,
	KEY_RESPONSE_BODY,
	KEY_RESPONSE_BYTES,
	KEY_REQUEST_HASH,
	KEY_CREATED_AT,
	KEY_LEASE_EXPIRES_AT,
	KEY_COMPLETED_AT,
	KEY_EXPIRES_AT,
};

static void
put_lookup_row(FunctionCallInfo fcinfo, const KeyRow *row, KeyState state)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Datum		values[lengthof(lookup_columns) + 1];
	bool		isnull[lengthof(lookup_columns) + 1];

	values[0] = text_datum(key_state_name(state));
	isnull[0] = false;
	for (size_t i = 0; i < lengthof(lookup_columns); i++)
	{
		values[i + 1] = row->values[lookup_columns[i]];
		isnull[i + 1] = row->isnull[lookup_columns[i]];
	}
	tuplestore_putvalues(result->setResult, result->setDesc, values, isnull);
}

PG_FUNCTION_INFO_V1(idempotency_lookup);

Datum
idempotency_lookup(PG_FUNCTION_ARGS)
{
	KeyId		id = key_arguments(fcinfo, 0, 1, 2);
	Extension	extension = find_extension(fcinfo, KEYS_TABLE);
	KeyRow		row;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	if (read_key_stable(&extension, &id, &row))
	{
		KeyState	state = key_state(&row, read_clock().now);

		if (state != KEY_ABSENT)
			put_lookup_row(fcinfo, &row, state);
	}
	return (Datum) 0;
}
