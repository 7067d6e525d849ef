/*-------------------------------------------------------------------------
 *
 * parameters.c
 *	  The parameters of a statement.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "parameters.h"

/* Adds a value of any type. */
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
add_boolean(Parameters *parameters, bool value)
{
	add_datum(parameters, BoolGetDatum(value), false);
}

void
add_time(Parameters *parameters, TimestampTz value)
{
	add_datum(parameters, TimestampTzGetDatum(value), false);
}

/* Without days or months, it is the same length in every time zone. */
void
add_interval(Parameters *parameters, int64 duration)
{
	Interval   *interval = palloc0(sizeof(Interval));

	interval->time = duration;
	add_pointer(parameters, interval);
}

void
add_string(Parameters *parameters, const char *value)
{
	add_pointer(parameters, cstring_to_text(value));
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

void
add_event(Parameters *parameters, const EventId *id)
{
	add_pointer(parameters, id->tenant);
	add_pointer(parameters, id->source);
	add_pointer(parameters, id->event_id);
}

void
add_texts(Parameters *parameters, Datum *values, int count)
{
	add_pointer(parameters, construct_array(values, count, TEXTOID, -1, false,
											TYPALIGN_INT));
}

void
add_places(Parameters *parameters, Datum *values, int count)
{
	add_pointer(parameters, construct_array(values, count, TIDOID,
											sizeof(ItemPointerData), false,
											TYPALIGN_SHORT));
}
