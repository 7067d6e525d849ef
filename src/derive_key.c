/*-------------------------------------------------------------------------
 *
 * derive_key.c
 *	  Keys that follow from what a request is about.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/cryptohash.h"
#include "common/sha1.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/uuid.h"

#include "compat.h"

/* Appends a part, with what separates parts escaped. */
static void
append_part(StringInfo name, const text *part)
{
	const char *data = VARDATA_ANY(part);
	size_t		length = VARSIZE_ANY_EXHDR(part);

	for (size_t i = 0; i < length; i++)
	{
		if (data[i] == '\\' || data[i] == ':')
			appendStringInfoChar(name, '\\');
		appendStringInfoChar(name, data[i]);
	}
}

static void
report_bad_parts(const char *problem)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("parts %s", problem),
			 errdetail("A key is derived from a namespace and one or more parts, none of them null."),
			 errhint("Pass each part as an argument of its own.")));
}

/* Joins the parts to the name that is hashed, in UTF-8. */
static char *
join_parts(ArrayType *array)
{
	StringInfoData name;
	Datum	   *parts;
	bool	   *isnull;
	int			nparts;

	if (ARR_NDIM(array) > 1)
		report_bad_parts("must not be an array of arrays");
	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT,
					  &parts, &isnull, &nparts);
	if (nparts == 0)
		report_bad_parts("are missing");

	initStringInfo(&name);
	for (int i = 0; i < nparts; i++)
	{
		if (isnull[i])
			report_bad_parts("must not be null");
		if (i > 0)
			appendStringInfoChar(&name, ':');
		append_part(&name, DatumGetTextPP(parts[i]));
	}
	if (GetDatabaseEncoding() == PG_SQL_ASCII)
		return name.data;
	return pg_server_to_any(name.data, name.len, PG_UTF8);
}

/* The version-5 UUID of a name (RFC 9562, section 5.5). */
static pg_uuid_t *
uuid_version_5(const pg_uuid_t *space, const char *name)
{
	pg_cryptohash_ctx *hash = pg_cryptohash_create(PG_SHA1);
	uint8		digest[SHA1_DIGEST_LENGTH];
	pg_uuid_t  *uuid = palloc(sizeof(pg_uuid_t));

	if (hash == NULL ||
		pg_cryptohash_init(hash) < 0 ||
		pg_cryptohash_update(hash, space->data, UUID_LEN) < 0 ||
		pg_cryptohash_update(hash, (const uint8 *) name, strlen(name)) < 0 ||
		pg_cryptohash_final(hash, digest, sizeof(digest)) < 0)
		elog(ERROR, "could not compute a SHA-1 digest: %s",
			 pg_cryptohash_error(hash));
	pg_cryptohash_free(hash);

	memcpy(uuid->data, digest, UUID_LEN);
	uuid->data[6] = (uuid->data[6] & 0x0f) | 0x50;	/* the version */
	uuid->data[8] = (uuid->data[8] & 0x3f) | 0x80;	/* the variant */
	return uuid;
}

PG_FUNCTION_INFO_V1(idempotency_derive_key);

Datum
idempotency_derive_key(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("namespace must not be null"),
				 errdetail("Keys of different namespaces never collide."),
				 errhint("Pass a UUID that your application made up once.")));
	if (PG_ARGISNULL(1))
		report_bad_parts("must not be null");

	PG_RETURN_UUID_P(uuid_version_5(PG_GETARG_UUID_P(0),
									join_parts(PG_GETARG_ARRAYTYPE_P(1))));
}
