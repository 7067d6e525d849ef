/*-------------------------------------------------------------------------
 *
 * result.c
 *	  Building the rows that the SQL functions return.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/memutils.h"

#include "result.h"

TupleDesc
result_type(const ResultColumn *columns, int ncolumns, TupleDesc *cache)
{
	MemoryContext caller;
	TupleDesc	type;

	if (*cache != NULL)
		return *cache;

	caller = MemoryContextSwitchTo(TopMemoryContext);
	type = CreateTemplateTupleDesc(ncolumns);
	for (int i = 0; i < ncolumns; i++)
		TupleDescInitEntry(type, (AttrNumber) (i + 1), columns[i].name,
						   columns[i].type, -1, 0);
	*cache = BlessTupleDesc(type);
	MemoryContextSwitchTo(caller);
	return *cache;
}

Datum
text_datum(const char *string)
{
	return PointerGetDatum(cstring_to_text(string));
}
