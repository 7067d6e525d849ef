/*-------------------------------------------------------------------------
 *
 * settings.c
 *	  The idempotency.* settings.
 *
 * Durations are strings, so that they take both interval syntax and the
 * units of postgresql.conf.  A check hook parses the string once and the
 * assign hook keeps the result, so that calls need not parse it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"
#include "duration.h"
#include "pin.h"
#include "settings.h"

/* what a bare number counts in */
#define MILLISECOND INT64CONST(1000)
#define SECOND INT64CONST(1000000)

/* separates the parts of a list, which also may be padded with it */
#define LIST_SEPARATORS ", \t\r\n"

int64		clock_offset;
int64		default_lease;
int64		success_ttl;
int64		client_error_ttl;
int64		tombstone_ttl;
int64		default_wait;
int64		webhook_ttl;
int64		webhook_lease;
int64		webhook_backoff_base;
int64		webhook_backoff_max;
bool		default_keep_request;
int			key_format;
int			key_min_length;
int			key_max_length;
char	   *pinned_tenant;
int			webhook_max_attempts;
bool		webhook_notify;

/* the settings as they were written, for SHOW */
static char *clock_offset_string;
static char *lease_string;
static char *success_ttl_string;
static char *client_error_ttl_string;
static char *tombstone_ttl_string;
static char *wait_string;
static char *webhook_ttl_string;
static char *webhook_lease_string;
static char *webhook_backoff_base_string;
static char *webhook_backoff_max_string;
static char *retryable_statuses_string;
static char *redact_headers_string;

static char *log_outcomes_string;

/* one flag per status code, counted from MIN_STATUS */
static const bool *retryable_statuses;

/* one flag per outcome */
static const bool *logged_outcomes;

static const struct config_enum_entry key_formats[] = {
	{"any", KEY_FORMAT_ANY, false},
	{"uuid", KEY_FORMAT_UUID, false},
	{NULL, 0, false}
};

/* Parses a duration for a check hook and hands it to the assign hook. */
static bool
check_duration_setting(const char *value, void **extra, int64 unit,
					   int64 minimum)
{
	int64		duration;

	if (!parse_duration(value, unit, &duration))
	{
		GUC_check_errdetail("It is not a duration.");
		GUC_check_errhint("Write it as an interval, such as \"30min\", \"24h\" or \"7 days\".");
		return false;
	}
	if (duration < minimum)
	{
		GUC_check_errdetail("It must not be negative.");
		return false;
	}

	*extra = guc_malloc(LOG, sizeof(int64));
	if (*extra == NULL)
		return false;
	*(int64 *) *extra = duration;
	return true;
}

static bool
check_seconds(char **newval, void **extra, GucSource source)
{
	return check_duration_setting(*newval, extra, SECOND, 0);
}

static bool
check_milliseconds(char **newval, void **extra, GucSource source)
{
	return check_duration_setting(*newval, extra, MILLISECOND, 0);
}

static bool
check_offset(char **newval, void **extra, GucSource source)
{
	return check_duration_setting(*newval, extra, SECOND, PG_INT64_MIN);
}

/* Defines the assign hook that keeps the parsed duration in a variable. */
#define DURATION_ASSIGN_HOOK(variable) \
static void \
assign_##variable(const char *newval, void *extra) \
{ \
	variable = *(int64 *) extra; \
}

DURATION_ASSIGN_HOOK(clock_offset)
DURATION_ASSIGN_HOOK(default_lease)
DURATION_ASSIGN_HOOK(success_ttl)
DURATION_ASSIGN_HOOK(client_error_ttl)
DURATION_ASSIGN_HOOK(tombstone_ttl)
DURATION_ASSIGN_HOOK(default_wait)
DURATION_ASSIGN_HOOK(webhook_ttl)
DURATION_ASSIGN_HOOK(webhook_lease)
DURATION_ASSIGN_HOOK(webhook_backoff_base)
DURATION_ASSIGN_HOOK(webhook_backoff_max)

/*
 * Returns the first item of a list, and its length; NULL if there is none.
 * The rest of the list begins behind it.
 */
static const char *
first_item(const char *list, size_t *length)
{
	list += strspn(list, LIST_SEPARATORS);
	*length = strcspn(list, LIST_SEPARATORS);
	return *length > 0 ? list : NULL;
}

/* Makes so many flags for an assign hook, all off; NULL without memory. */
static bool *
make_flags(size_t count)
{
	bool	   *flags = guc_malloc(LOG, count * sizeof(bool));

	if (flags != NULL)
		memset(flags, false, count * sizeof(bool));
	return flags;
}

/* Marks the codes that one item of the list, "503" or "5xx", stands for. */
static bool
mark_statuses(const char *item, size_t length, bool *statuses)
{
	int			first;
	int			count;

	if (length != 3 || item[0] < '1' || item[0] > '5')
		return false;

	first = (item[0] - '0') * 100;
	if (pg_tolower(item[1]) == 'x' && pg_tolower(item[2]) == 'x')
		count = 100;
	else if (isdigit((unsigned char) item[1]) &&
			 isdigit((unsigned char) item[2]))
	{
		first += (item[1] - '0') * 10 + (item[2] - '0');
		count = 1;
	}
	else
		return false;

	memset(statuses + first - MIN_STATUS, true, count);
	return true;
}

static bool
check_retryable_statuses(char **newval, void **extra, GucSource source)
{
	const char *item;
	size_t		length;
	bool	   *statuses = make_flags(MAX_STATUS - MIN_STATUS + 1);

	if (statuses == NULL)
		return false;
	for (item = first_item(*newval, &length); item != NULL;
		 item = first_item(item + length, &length))
	{
		if (!mark_statuses(item, length, statuses))
		{
			guc_free(statuses);
			GUC_check_errdetail("\"%.*s\" is neither a status code nor a class of them.",
								(int) length, item);
			GUC_check_errhint("List codes from %d to %d and classes such as \"5xx\", separated by commas.",
							  MIN_STATUS, MAX_STATUS);
			return false;
		}
	}

	*extra = statuses;
	return true;
}

static void
assign_retryable_statuses(const char *newval, void *extra)
{
	retryable_statuses = extra;
}

bool
is_retryable_status(int status)
{
	return retryable_statuses[status - MIN_STATUS];
}

/* The list is short and read once per stored header: no index is kept. */
bool
is_redacted_header(const char *name, int length)
{
	const char *item;
	size_t		item_length;

	for (item = first_item(redact_headers_string, &item_length); item != NULL;
		 item = first_item(item + item_length, &item_length))
	{
		if (item_length == (size_t) length &&
			pg_strncasecmp(item, name, item_length) == 0)
			return true;
	}
	return false;
}

static bool
check_log_outcomes(char **newval, void **extra, GucSource source)
{
	const char *item;
	size_t		length;
	bool	   *outcomes = make_flags(NUM_OUTCOMES);

	if (outcomes == NULL)
		return false;
	for (item = first_item(*newval, &length); item != NULL;
		 item = first_item(item + length, &length))
	{
		Outcome		outcome = find_outcome(item, length);

		if (outcome == NUM_OUTCOMES)
		{
			guc_free(outcomes);
			GUC_check_errdetail("\"%.*s\" is no outcome of a claim or of recording an event.",
								(int) length, item);
			GUC_check_errhint("List outcomes such as \"replay\" and \"mismatch\", separated by commas.");
			return false;
		}
		outcomes[outcome] = true;
	}

	*extra = outcomes;
	return true;
}

static void
assign_log_outcomes(const char *newval, void *extra)
{
	logged_outcomes = extra;
}

bool
is_logged_outcome(Outcome outcome)
{
	return logged_outcomes[outcome];
}

/* Defines one duration, checked and assigned through the hooks above. */
static void
define_duration(const char *name, const char *description, const char *detail,
				char **string, const char *boot, GucContext context,
				GucStringCheckHook check, GucStringAssignHook assign)
{
	DefineCustomStringVariable(name, description, detail, string, boot,
							   context, 0, check, assign, NULL);
}

static void
define_durations(void)
{
	define_duration("idempotency.lease",
					"Sets how long a committed claim is protected.",
					"After that, a retry takes the key over. A lease ends with the key's own time at the latest.",
					&lease_string, "30min", PGC_USERSET,
					check_seconds, assign_default_lease);
	define_duration("idempotency.success_ttl",
					"Sets how long a key is kept, counted from its latest claim.",
					"It holds for claims and for responses below status 400. Extending a lease beyond that extends it, too.",
					&success_ttl_string, "24h", PGC_USERSET,
					check_seconds, assign_success_ttl);
	define_duration("idempotency.client_error_ttl",
					"Sets how long a response of status 400 or above is kept, counted from its completion.",
					"It holds unless the status is retryable.",
					&client_error_ttl_string, "1h", PGC_USERSET,
					check_seconds, assign_client_error_ttl);
	define_duration("idempotency.tombstone_ttl",
					"Sets how long an expired key is still answered with \"gone\".",
					"Zero forgets a key as soon as it expires. A session that sweeps needs the same value as those that claim.",
					&tombstone_ttl_string, "0", PGC_USERSET,
					check_seconds, assign_tombstone_ttl);
	define_duration("idempotency.wait",
					"Sets how long a duplicate waits for the first request.",
					"Zero answers it at once. A bare number counts in milliseconds.",
					&wait_string, "0", PGC_USERSET,
					check_milliseconds, assign_default_wait);
	define_duration("idempotency.clock_offset",
					"Sets what is added to the clock, for tests.",
					"It may be negative.",
					&clock_offset_string, "0", PGC_SUSET,
					check_offset, assign_clock_offset);
}

static void
define_key_rules(void)
{
	DefineCustomEnumVariable("idempotency.key_format",
							 "Sets the format that keys must have.",
							 "Keys are told apart as they are written, so also by upper and lower case.",
							 &key_format, KEY_FORMAT_ANY, key_formats,
							 PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("idempotency.key_min_length",
							"Sets how many characters a key must have.",
							NULL,
							&key_min_length, MIN_KEY_LENGTH,
							MIN_KEY_LENGTH, MAX_KEY_LENGTH,
							PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("idempotency.key_max_length",
							"Sets how many characters a key may have.",
							NULL,
							&key_max_length, MAX_KEY_LENGTH,
							MIN_KEY_LENGTH, MAX_KEY_LENGTH,
							PGC_USERSET, 0, NULL, NULL, NULL);
}

static void
define_storage_rules(void)
{
	DefineCustomStringVariable("idempotency.retryable_statuses",
							   "Lists the statuses that leave a key retryable.",
							   "Their responses are not stored. Codes and classes, such as \"429,5xx\".",
							   &retryable_statuses_string, "408,425,429,5xx",
							   PGC_USERSET, 0, check_retryable_statuses,
							   assign_retryable_statuses, NULL);
	DefineCustomStringVariable("idempotency.redact_headers",
							   "Lists the response headers that are never stored.",
							   "Upper and lower case are the same.",
							   &redact_headers_string,
							   "set-cookie,authorization",
							   PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("idempotency.keep_request",
							 "Stores each request beside its hash.",
							 "Only requests that were kept can be handed to a worker by idempotency_claim_abandoned.",
							 &default_keep_request, false,
							 PGC_USERSET, 0, NULL, NULL, NULL);
}

static void
define_webhook_rules(void)
{
	define_duration("idempotency.webhook_ttl",
					"Sets how long a processed or dead event is kept.",
					"A redelivery within that time is a duplicate.",
					&webhook_ttl_string, "7d", PGC_USERSET,
					check_seconds, assign_webhook_ttl);
	define_duration("idempotency.webhook_lease",
					"Sets how long a worker may take for an event.",
					"After that, the event is handed out again.",
					&webhook_lease_string, "5min", PGC_USERSET,
					check_seconds, assign_webhook_lease);
	define_duration("idempotency.webhook_backoff_base",
					"Sets the delay after an event's first failure.",
					"It doubles with each further failure, and is less a random part of up to a half.",
					&webhook_backoff_base_string, "5s", PGC_USERSET,
					check_seconds, assign_webhook_backoff_base);
	define_duration("idempotency.webhook_backoff_max",
					"Sets the longest delay between two attempts at an event.",
					NULL,
					&webhook_backoff_max_string, "1h", PGC_USERSET,
					check_seconds, assign_webhook_backoff_max);
	DefineCustomIntVariable("idempotency.webhook_max_attempts",
							"Sets how often an event is attempted before it is dead.",
							"A worker that dies has made an attempt, too.",
							&webhook_max_attempts, 10, 1, PG_INT32_MAX,
							PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("idempotency.webhook_notify",
							 "Sets whether NOTIFY webhook_inbox is sent when an event is recorded.",
							 "It has the source as its payload. Transactions that notify commit one after the other.",
							 &webhook_notify, false,
							 PGC_USERSET, 0, NULL, NULL, NULL);
}

static void
define_administration(void)
{
	DefineCustomStringVariable("idempotency.tenant",
							   "Sets the only tenant this role may name.",
							   "Meant for ALTER ROLE ... SET; empty allows every tenant.",
							   &pinned_tenant, "",
							   PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("idempotency.log_outcomes",
							   "Lists the outcomes that are written to the server's log.",
							   "Each as one line, with a digest of the key. For example \"replay, mismatch\".",
							   &log_outcomes_string, "",
							   PGC_SUSET, 0, check_log_outcomes,
							   assign_log_outcomes, NULL);
}

void
define_settings(void)
{
	check_client_options();
	define_durations();
	define_key_rules();
	define_storage_rules();
	define_webhook_rules();
	define_administration();
	MarkGUCPrefixReserved("idempotency");
}
