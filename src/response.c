/*-------------------------------------------------------------------------
 *
 * response.c
 *	  The response that is stored for a key.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/builtins.h"

#include "compat.h"
#include "response.h"
#include "settings.h"

static void
check_headers(Jsonb *headers)
{
	bool		acceptable = JB_ROOT_IS_OBJECT(headers) ||
		(JB_ROOT_IS_ARRAY(headers) && !JB_ROOT_IS_SCALAR(headers));

	if (acceptable && JB_ROOT_IS_ARRAY(headers))
	{
		JsonbIterator *iterator = JsonbIteratorInit(&headers->root);
		JsonbIteratorToken token;
		JsonbValue	element;

		while ((token = JsonbIteratorNext(&iterator, &element, true)) != WJB_DONE)
		{
			if (token == WJB_ELEM &&
				(element.type != jbvBinary ||
				 !JsonContainerIsObject(element.val.binary.data)))
				acceptable = false;
		}
	}

	if (!acceptable)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("response headers must be a JSON object or an array of them"),
				 errdetail("Headers are members of an object."),
				 errhint("Pass something like {\"content-type\": \"application/json\"}.")));
}

/*
 * Tells whether the member that begins here is a header to leave out.  depth
 * counts the objects around it: a header's own value may be an object, whose
 * members are no headers.
 */
static bool
is_redacted_member(const JsonbValue *name, int depth)
{
	return depth == 1 &&
		is_redacted_header(name->val.string.val, name->val.string.len);
}

Jsonb *
redact_headers(Jsonb *headers)
{
	JsonbParseState *state = NULL;
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	value;
	JsonbValue *result = NULL;
	int			depth = 0;

	if (headers == NULL)
		return NULL;
	check_headers(headers);

	iterator = JsonbIteratorInit(&headers->root);
	while ((token = JsonbIteratorNext(&iterator, &value, false)) != WJB_DONE)
	{
		bool		has_value = (token == WJB_KEY || token == WJB_VALUE ||
								 token == WJB_ELEM);

		if (token == WJB_BEGIN_OBJECT)
			depth++;
		else if (token == WJB_END_OBJECT)
			depth--;
		else if (token == WJB_KEY && is_redacted_member(&value, depth))
		{
			(void) JsonbIteratorNext(&iterator, &value, true);
			continue;
		}
		result = pushJsonbValue(&state, token, has_value ? &value : NULL);
	}
	return JsonbValueToJsonb(result);
}

static bool
same_bytes(Datum stored, bool isnull, const void *given)
{
	struct varlena *value;

	if (isnull || given == NULL)
		return isnull && given == NULL;
	value = PG_DETOAST_DATUM_PACKED(stored);
	return VARSIZE_ANY_EXHDR(value) == VARSIZE_ANY_EXHDR(given) &&
		memcmp(VARDATA_ANY(value), VARDATA_ANY(given),
			   VARSIZE_ANY_EXHDR(value)) == 0;
}

static bool
same_jsonb(Datum stored, bool isnull, Jsonb *given)
{
	if (isnull || given == NULL)
		return isnull && given == NULL;
	return compareJsonbContainers(&DatumGetJsonbP(stored)->root,
								  &given->root) == 0;
}

bool
is_stored_response(const KeyRow *row, const Response *response)
{
	return !row->isnull[KEY_RESPONSE_STATUS] &&
		DatumGetInt32(row->values[KEY_RESPONSE_STATUS]) == response->status &&
		same_jsonb(row->values[KEY_RESPONSE_HEADERS],
				   row->isnull[KEY_RESPONSE_HEADERS], response->headers) &&
		same_bytes(row->values[KEY_RESPONSE_BODY],
				   row->isnull[KEY_RESPONSE_BODY], response->body) &&
		same_bytes(row->values[KEY_RESPONSE_BYTES],
				   row->isnull[KEY_RESPONSE_BYTES], response->bytes);
}

text *
jsonb_body(Jsonb *document)
{
	StringInfoData string;

	initStringInfo(&string);
	(void) JsonbToCString(&string, &document->root, VARSIZE(document));
	return cstring_to_text_with_len(string.data, string.len);
}
