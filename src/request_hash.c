/*-------------------------------------------------------------------------
 *
 * request_hash.c
 *	  The fingerprint of a request.
 *
 * What is hashed is the document in this form, which must never change: the
 * digests are stored, and compared for as long as keys live.
 *
 *		document	"idempotency:1" value
 *		value		one byte that tells the kind, then
 *			'n' 't' 'f'		null, true, false
 *			'"'			a string: its length, its bytes in UTF-8
 *			'#'			a number: the count of its digits to base 10,000,
 *						the power of 10,000 of the first, the sign (0 or
 *						0x4000), the digits; no zero digit at either end
 *			'['			an array: the count of its elements, the elements
 *			'{'			an object: the count of its members, the members by
 *						rising length, then bytes, of their names in UTF-8;
 *						each a string without the kind, then a value
 *
 * Lengths and counts of members are 32-bit, parts of numbers 16-bit, all in
 * network byte order.  Since every part tells its size before its contents,
 * no two documents have the same form.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/cryptohash.h"
#include "common/sha2.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "port/pg_bswap.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"
#include "utils/resowner.h"

#include "compat.h"
#include "request_hash.h"

#define FORM_VERSION "idempotency:1"

/* a number on the wire: ndigits, weight, sign, dscale, digits */
#define NUMERIC_PART sizeof(uint16)
#define NUMERIC_DSCALE_AT (3 * NUMERIC_PART)
#define NUMERIC_DIGITS_AT (4 * NUMERIC_PART)

/* a member of an object, with its name in UTF-8 */
typedef struct Member
{
	const char *name;
	int			length;
	JsonbValue	value;
} Member;

/* A digest, with what is to be added to it: most parts are a few bytes. */
typedef struct Hash
{
	pg_cryptohash_ctx *context;
	size_t		pending;
	uint8		buffer[1024];
} Hash;

static void hash_container(Hash *hash, JsonbContainer *container);

static void
update_digest(Hash *hash, const void *bytes, size_t length)
{
	if (pg_cryptohash_update(hash->context, bytes, length) < 0)
		elog(ERROR, "could not compute a SHA-256 digest: %s",
			 pg_cryptohash_error(hash->context));
}

static void
flush_buffer(Hash *hash)
{
	update_digest(hash, hash->buffer, hash->pending);
	hash->pending = 0;
}

static void
hash_bytes_of(Hash *hash, const void *bytes, size_t length)
{
	if (length > sizeof(hash->buffer) - hash->pending)
		flush_buffer(hash);
	if (length > sizeof(hash->buffer))
	{
		update_digest(hash, bytes, length);
		return;
	}
	memcpy(hash->buffer + hash->pending, bytes, length);
	hash->pending += length;
}

static void
hash_kind(Hash *hash, char kind)
{
	hash_bytes_of(hash, &kind, 1);
}

static void
hash_count(Hash *hash, uint32 count)
{
	uint32		ordered = pg_hton32(count);

	hash_bytes_of(hash, &ordered, sizeof(ordered));
}

static void
hash_sized(Hash *hash, const char *bytes, int length)
{
	hash_count(hash, length);
	hash_bytes_of(hash, bytes, length);
}

/*
 * Converts a string of the database's encoding to UTF-8, if it is another.
 * What the bytes of SQL_ASCII mean is not known: they are taken as they are.
 */
static const char *
to_utf8(const char *string, int *length)
{
	char	   *converted;

	if (GetDatabaseEncoding() == PG_SQL_ASCII)
		return string;
	converted = pg_server_to_any(string, *length, PG_UTF8);
	if (converted != string)
		*length = strlen(converted);
	return converted;
}

/*
 * Hashes a number without its display scale, by which 1 and 1.0 differ.  The
 * digits are never written out in decimal: 1e100000 is nine bytes here.
 */
static void
hash_number(Hash *hash, Numeric number)
{
	bytea	   *wire = DatumGetByteaP(DirectFunctionCall1(numeric_send,
														  NumericGetDatum(number)));

	hash_kind(hash, '#');
	hash_bytes_of(hash, VARDATA(wire), NUMERIC_DSCALE_AT);
	hash_bytes_of(hash, VARDATA(wire) + NUMERIC_DIGITS_AT,
				  VARSIZE(wire) - VARHDRSZ - NUMERIC_DIGITS_AT);
	pfree(wire);
}

static void
hash_string(Hash *hash, const JsonbValue *string)
{
	int			length = string->val.string.len;
	const char *bytes = to_utf8(string->val.string.val, &length);

	hash_kind(hash, '"');
	hash_sized(hash, bytes, length);
}

static void
hash_value(Hash *hash, JsonbValue *value)
{
	switch (value->type)
	{
		case jbvNull:
			hash_kind(hash, 'n');
			break;
		case jbvBool:
			hash_kind(hash, value->val.boolean ? 't' : 'f');
			break;
		case jbvNumeric:
			hash_number(hash, value->val.numeric);
			break;
		case jbvString:
			hash_string(hash, value);
			break;
		case jbvBinary:
			hash_container(hash, value->val.binary.data);
			break;
		default:
			elog(ERROR, "unexpected jsonb value type: %d", (int) value->type);
	}
}

static int
compare_members(const void *a, const void *b)
{
	const Member *left = a;
	const Member *right = b;

	if (left->length != right->length)
		return left->length < right->length ? -1 : 1;
	return memcmp(left->name, right->name, left->length);
}

/*
 * Hashes an object's members in the order of their names in UTF-8.
 *
 * That is the order in which jsonb keeps them, but for a database whose
 * encoding is another: there they are sorted again, so that a dump restored
 * into UTF-8 still recognises its requests.
 */
static void
hash_members(Hash *hash, JsonbContainer *container)
{
	uint32		count = JsonContainerSize(container);
	JsonbIterator *iterator = JsonbIteratorInit(container);
	Member	   *members = palloc_array(Member, count);
	JsonbValue	name;

	(void) JsonbIteratorNext(&iterator, &name, true);	/* WJB_BEGIN_OBJECT */
	for (uint32 i = 0; i < count; i++)
	{
		(void) JsonbIteratorNext(&iterator, &name, true);
		members[i].length = name.val.string.len;
		members[i].name = to_utf8(name.val.string.val, &members[i].length);
		(void) JsonbIteratorNext(&iterator, &members[i].value, true);
	}
	(void) JsonbIteratorNext(&iterator, &name, true);	/* frees the iterator */
	if (GetDatabaseEncoding() != PG_UTF8)
		qsort(members, count, sizeof(Member), compare_members);

	hash_kind(hash, '{');
	hash_count(hash, count);
	for (uint32 i = 0; i < count; i++)
	{
		hash_sized(hash, members[i].name, members[i].length);
		hash_value(hash, &members[i].value);
	}
	pfree(members);
}

/* Hashes an array; a scalar document is kept as an array marked as one. */
static void
hash_elements(Hash *hash, JsonbContainer *container)
{
	JsonbIterator *iterator = JsonbIteratorInit(container);
	JsonbIteratorToken token;
	JsonbValue	element;

	if (!JsonContainerIsScalar(container))
	{
		hash_kind(hash, '[');
		hash_count(hash, JsonContainerSize(container));
	}
	while ((token = JsonbIteratorNext(&iterator, &element, true)) != WJB_DONE)
	{
		if (token == WJB_ELEM)
			hash_value(hash, &element);
	}
}

static void
hash_container(Hash *hash, JsonbContainer *container)
{
	check_stack_depth();
	CHECK_FOR_INTERRUPTS();

	if (JsonContainerIsObject(container))
		hash_members(hash, container);
	else
		hash_elements(hash, container);
}

/*
 * Returns a context that is kept for the session: to make a new one takes
 * OpenSSL a good part of the time it needs for a request.  So it mustn't
 * belong to the transaction that happens to come first.
 */
static pg_cryptohash_ctx *
session_context(void)
{
	static pg_cryptohash_ctx *context;
	ResourceOwner saved_owner = CurrentResourceOwner;

	if (context == NULL)
	{
		CurrentResourceOwner = ResourceOwnerCreate(NULL, "idempotency");
		context = pg_cryptohash_create(PG_SHA256);
		CurrentResourceOwner = saved_owner;
	}
	return context;
}

bytea *
hash_request(Jsonb *request)
{
	Hash		hash;
	bytea	   *digest = palloc(VARHDRSZ + PG_SHA256_DIGEST_LENGTH);

	hash.context = session_context();
	hash.pending = 0;
	if (hash.context == NULL || pg_cryptohash_init(hash.context) < 0)
		elog(ERROR, "could not initialize a SHA-256 digest: %s",
			 pg_cryptohash_error(hash.context));

	hash_bytes_of(&hash, FORM_VERSION, strlen(FORM_VERSION));
	hash_container(&hash, &request->root);
	flush_buffer(&hash);

	SET_VARSIZE(digest, VARHDRSZ + PG_SHA256_DIGEST_LENGTH);
	if (pg_cryptohash_final(hash.context, (uint8 *) VARDATA(digest),
							PG_SHA256_DIGEST_LENGTH) < 0)
		elog(ERROR, "could not compute a SHA-256 digest: %s",
			 pg_cryptohash_error(hash.context));
	return digest;
}

PG_FUNCTION_INFO_V1(idempotency_request_hash);

Datum
idempotency_request_hash(PG_FUNCTION_ARGS)
{
	PG_RETURN_BYTEA_P(hash_request(PG_GETARG_JSONB_P(0)));
}
