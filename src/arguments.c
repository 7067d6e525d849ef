/*-------------------------------------------------------------------------
 *
 * arguments.c
 *	  Reading and checking the arguments of the SQL functions.
 *
 * No message repeats a key, a tenant or a payload: messages end up in logs
 * and in answers to people who may not see them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "arguments.h"
#include "compat.h"
#include "errors.h"
#include "pin.h"

/* the canonical form of a UUID; an "x" stands for a hexadecimal digit */
#define UUID_PATTERN "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"

void
report_bad_argument(const char *name, const char *problem, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("%s %s", name, problem),
			 errdetail("The argument \"%s\" is not acceptable.", name),
			 errhint("%s", hint)));
}

static void
check_not_null(FunctionCallInfo fcinfo, int n, const char *name)
{
	if (PG_ARGISNULL(n))
		report_bad_argument(name, "must not be null", "Pass a value.");
}

/*
 * Tells whether a string has ASCII or, where the encoding is known to have
 * them, C1 control characters.
 */
static bool
has_control_characters(const text *string)
{
	const unsigned char *data = (const unsigned char *) VARDATA_ANY(string);
	size_t		length = VARSIZE_ANY_EXHDR(string);
	bool		utf8 = (GetDatabaseEncoding() == PG_UTF8);

	for (size_t i = 0; i < length; i++)
	{
		if (data[i] < 0x20 || data[i] == 0x7f)
			return true;
		if (utf8 && data[i] == 0xc2 && i + 1 < length && data[i + 1] < 0xa0)
			return true;
	}
	return false;
}

static void
report_bad_name(const char *name, const char *problem, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_NAME_INVALID),
			 errmsg("%s %s", name, problem),
			 errdetail("It takes at most %d bytes of text without control characters.",
					   MAX_NAME_BYTES),
			 errhint("%s", hint)));
}

bool
is_name(const text *value)
{
	return value != NULL && VARSIZE_ANY_EXHDR(value) > 0 &&
		VARSIZE_ANY_EXHDR(value) <= MAX_NAME_BYTES &&
		!has_control_characters(value);
}

void
check_name(const text *value, const char *name)
{
	if (is_name(value))
		return;
	if (value == NULL || VARSIZE_ANY_EXHDR(value) == 0)
		report_bad_name(name, "is missing", "Pass a value.");
	if (VARSIZE_ANY_EXHDR(value) > MAX_NAME_BYTES)
		report_bad_name(name, "is too long",
						"Pass a shorter one, such as a digest of it.");
	report_bad_name(name, "contains control characters",
					"Pass a printable one, such as a digest of it.");
}

/* Refuses a tenant other than the one that the role is pinned to. */
static void
check_pinned_tenant(const text *tenant)
{
	const char *pin = tenant_pin();
	size_t		length = VARSIZE_ANY_EXHDR(tenant);

	if (pin[0] == '\0' ||
		(strlen(pin) == length &&
		 memcmp(pin, VARDATA_ANY(tenant), length) == 0))
		return;

	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("permission denied for another tenant"),
			 errdetail("This session may only name the tenant that idempotency.tenant pins."),
			 errhint("Pass that tenant, or connect as a role that is not pinned.")));
}

text *
tenant_argument(FunctionCallInfo fcinfo, int n)
{
	text	   *tenant = PG_ARGISNULL(n) ? NULL : PG_GETARG_TEXT_PP(n);

	check_name(tenant, "tenant");
	check_pinned_tenant(tenant);
	return tenant;
}

/* An empty scope is the default one. */
static text *
scope_argument(FunctionCallInfo fcinfo, int n)
{
	text	   *scope = PG_ARGISNULL(n) ? NULL : PG_GETARG_TEXT_PP(n);

	if (scope == NULL)
		report_bad_name("scope", "is missing",
						"Pass an empty string for the default scope.");
	if (VARSIZE_ANY_EXHDR(scope) > 0)
		check_name(scope, "scope");
	return scope;
}

text *
tenant_filter(void)
{
	const char *pin = tenant_pin();

	return pin[0] == '\0' ? NULL : cstring_to_text(pin);
}

text *
tenant_filter_argument(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? tenant_filter() : tenant_argument(fcinfo, n);
}

text *
scope_filter_argument(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : scope_argument(fcinfo, n);
}

text *
name_argument(FunctionCallInfo fcinfo, int n, const char *name)
{
	text	   *value = PG_ARGISNULL(n) ? NULL : PG_GETARG_TEXT_PP(n);

	check_name(value, name);
	return value;
}

text *
name_or_null_argument(FunctionCallInfo fcinfo, int n, const char *name)
{
	return PG_ARGISNULL(n) ? NULL : name_argument(fcinfo, n, name);
}

EventId
event_arguments(FunctionCallInfo fcinfo)
{
	EventId		id;

	id.tenant = tenant_argument(fcinfo, 0);
	id.source = name_argument(fcinfo, 1, "source");
	id.event_id = name_argument(fcinfo, 2, "event id");
	return id;
}

static void
report_invalid_key(const char *problem, const char *detail, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_KEY_INVALID),
			 errmsg("idempotency key %s", problem),
			 errdetail("%s", detail),
			 errhint("%s", hint)));
}

static void
check_key_length(const text *key)
{
	int			length = pg_mbstrlen_with_len(VARDATA_ANY(key),
											  VARSIZE_ANY_EXHDR(key));

	if (length < key_min_length)
		report_invalid_key("is too short",
						   psprintf("It must have at least %d characters.",
									key_min_length),
						   "Use a longer key, or lower idempotency.key_min_length.");
	if (length > key_max_length)
		report_invalid_key("is too long",
						   psprintf("It may have at most %d characters.",
									key_max_length),
						   "Use a shorter key, such as a UUID.");
}

static bool
is_uuid(const text *key)
{
	const char *data = VARDATA_ANY(key);
	size_t		length = VARSIZE_ANY_EXHDR(key);

	if (length != strlen(UUID_PATTERN))
		return false;
	for (size_t i = 0; i < length; i++)
	{
		if (UUID_PATTERN[i] == '-' ? data[i] != '-' :
			!isxdigit((unsigned char) data[i]))
			return false;
	}
	return true;
}

static text *
key_argument(FunctionCallInfo fcinfo, int n)
{
	text	   *key = PG_ARGISNULL(n) ? NULL : PG_GETARG_TEXT_PP(n);

	if (key == NULL || VARSIZE_ANY_EXHDR(key) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_KEY_MISSING),
				 errmsg("idempotency key is missing"),
				 errdetail("The key is null or empty."),
				 errhint("Pass the key that the client sent with its request.")));
	check_key_length(key);
	if (has_control_characters(key))
		report_invalid_key("contains control characters",
						   "Only printable characters are allowed.",
						   "Use a plain key, such as a UUID.");
	if (key_format == KEY_FORMAT_UUID && !is_uuid(key))
		report_invalid_key("is not a UUID",
						   "The setting idempotency.key_format requires one.",
						   "Use a key such as f47ac10b-58cc-4372-a567-0e02b2c3d479.");
	return key;
}

KeyId
key_arguments(FunctionCallInfo fcinfo, int tenant, int key, int scope)
{
	KeyId		id;

	id.tenant = tenant_argument(fcinfo, tenant);
	id.key = key_argument(fcinfo, key);
	id.scope = scope_argument(fcinfo, scope);
	return id;
}

int64
bigint_argument(FunctionCallInfo fcinfo, int n, const char *name)
{
	check_not_null(fcinfo, n, name);
	return PG_GETARG_INT64(n);
}

text *
text_argument(FunctionCallInfo fcinfo, int n, const char *name)
{
	check_not_null(fcinfo, n, name);
	return PG_GETARG_TEXT_PP(n);
}

int32
status_argument(FunctionCallInfo fcinfo, int n)
{
	check_not_null(fcinfo, n, "response_status");
	check_status(PG_GETARG_INT32(n), "response_status");
	return PG_GETARG_INT32(n);
}

void
check_status(int32 status, const char *name)
{
	if (status < MIN_STATUS || status > MAX_STATUS)
		report_bad_argument(name, "is not an HTTP status",
							"Pass a status from 100 to 599.");
}

int32
count_argument(FunctionCallInfo fcinfo, int n, const char *name)
{
	check_not_null(fcinfo, n, name);
	if (PG_GETARG_INT32(n) < 1)
		report_bad_argument(name, "must be at least 1",
							"Pass how many to handle at most.");
	return PG_GETARG_INT32(n);
}

int64
duration_argument(FunctionCallInfo fcinfo, int n, const char *name,
				  int64 default_duration)
{
	int64		duration;

	if (PG_ARGISNULL(n))
		return default_duration;
	if (!interval_duration(PG_GETARG_INTERVAL_P(n), &duration))
		report_bad_argument(name, "is out of range",
							"Pass a finite interval.");
	if (duration < 0)
		report_bad_argument(name, "must not be negative",
							"Pass an interval of zero or more.");
	return duration;
}

text *
text_or_null_argument(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : PG_GETARG_TEXT_PP(n);
}

Jsonb *
jsonb_argument(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : PG_GETARG_JSONB_P(n);
}

bool
boolean_argument(FunctionCallInfo fcinfo, int n, bool default_value)
{
	return PG_ARGISNULL(n) ? default_value : PG_GETARG_BOOL(n);
}

void
check_may_write(void)
{
	PreventCommandIfParallelMode("a change of keys or events");
	if (!XactReadOnly)
		return;

	ereport(ERROR,
			(errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
			 errmsg("cannot change keys or events in a read-only transaction"),
			 RecoveryInProgress() ?
			 errdetail("This server is a standby.") :
			 errdetail("The transaction was started or set READ ONLY."),
			 RecoveryInProgress() ?
			 errhint("Send the call to the primary server.") :
			 errhint("Start the transaction READ WRITE.")));
}
