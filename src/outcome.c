/*-------------------------------------------------------------------------
 *
 * outcome.c
 *	  The answers that a claim, or a record of an event, can have.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"

#include "compat.h"
#include "outcome.h"
#include "settings.h"
#include "stats.h"

typedef struct OutcomeFacts
{
	const char *name;
	int			status;
	Counter		counter;
} OutcomeFacts;

static const OutcomeFacts facts[NUM_OUTCOMES] = {
	[OUTCOME_CLAIMED] = {"claimed", 0, COUNT_CLAIMED},
	[OUTCOME_RESUMED] = {"resumed", 0, COUNT_RESUMED},
	[OUTCOME_REPLAY] = {"replay", 0, COUNT_REPLAYED},
	[OUTCOME_IN_PROGRESS] = {"in_progress", 409, COUNT_IN_PROGRESS},
	[OUTCOME_MISMATCH] = {"mismatch", 422, COUNT_MISMATCH},
	[OUTCOME_GONE] = {"gone", 410, COUNT_GONE},
	[OUTCOME_RECORDED] = {"recorded", 0, COUNT_RECORDED},
	[OUTCOME_DUPLICATE] = {"duplicate", 0, COUNT_DUPLICATE},
};

const char *
outcome_name(Outcome outcome)
{
	return facts[outcome].name;
}

int
outcome_status(Outcome outcome)
{
	return facts[outcome].status;
}

Outcome
find_outcome(const char *name, size_t length)
{
	for (int outcome = 0; outcome < NUM_OUTCOMES; outcome++)
	{
		if (strlen(facts[outcome].name) == length &&
			pg_strncasecmp(facts[outcome].name, name, length) == 0)
			return outcome;
	}
	return NUM_OUTCOMES;
}

/* Adds a member to a JSON object that has one already. */
static void
append_member(StringInfo object, const char *name, const text *value)
{
	appendStringInfo(object, ", \"%s\": ", name);
	escape_json(object, text_to_cstring(value));
}

/* Returns the SHA-256 digest of a text, in hexadecimal. */
static text *
digest_of(const text *value)
{
	Datum		digest = DirectFunctionCall1(sha256_bytea,
											 PointerGetDatum(value));

	return DatumGetTextPP(DirectFunctionCall2(binary_encode, digest,
											  PointerGetDatum(cstring_to_text("hex"))));
}

/*
 * Counts an answer.  Where it is to be logged, writes one line with a JSON
 * object.  The statement is left out, since it has the key that the line is to
 * have a digest of only.
 */
static void
note_outcome(Outcome outcome, const text *tenant, const char *group_name,
			 const text *group, const char *digest_name, const text *key)
{
	StringInfoData object;

	add_to_stats(facts[outcome].counter, 1);
	if (!is_logged_outcome(outcome))
		return;

	initStringInfo(&object);
	appendStringInfo(&object, "{\"outcome\": \"%s\"", outcome_name(outcome));
	append_member(&object, "tenant", tenant);
	append_member(&object, group_name, group);
	append_member(&object, digest_name, digest_of(key));
	appendStringInfoChar(&object, '}');
	ereport(LOG_SERVER_ONLY,
			(errmsg_internal("idempotency: %s", object.data),
			 errhidestmt(true),
			 errhidecontext(true)));
	pfree(object.data);
}

void
note_claim(Outcome outcome, const KeyId *id)
{
	note_outcome(outcome, id->tenant, "scope", id->scope,
				 "key_sha256", id->key);
}

void
note_record(Outcome outcome, const EventId *id)
{
	note_outcome(outcome, id->tenant, "source", id->source,
				 "event_id_sha256", id->event_id);
}
