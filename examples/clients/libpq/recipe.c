/* Requests that may be retried, with libpq.  Copy what you need. */
#include "recipe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_TRIES 5

/* What the holder of a claim needs; token and call key are text. */
typedef struct Claim
{
	Answer		answer;
	char		token[24];
	char		call_key[40];
	bool		is_ours;
} Claim;

static bool try_in_one_transaction(Session *session, const Request *request, Work work, void *argument, Claim *claimed);
static bool try_around_call(const char *conninfo, Session *session, const Request *request,
							Call call, Work work, void *argument, Claim *claimed);
static bool prepare_call(Session *session, const Request *request, Claim *claimed);
static bool finish(Session *session, const Request *request, Work work, void *argument, Claim *claimed);
static bool claim(Session *session, const Request *request, Claim *claimed);
static bool checkpoint(Session *session, const Request *request, const Claim *claimed, const char *point);
static bool heartbeat(Session *session, const Request *request, const Claim *claimed);
static bool complete(Session *session, const Request *request, const Claim *claimed);
static bool try_again(const Session *session, int tries, bool (*is_retryable) (const char *));
static bool is_transient(const char *sqlstate);
static bool is_overtaken(const char *sqlstate);

/*
 * Claim, work and response in one transaction: all of it is committed, or
 * nothing.  It is tried again with the same key, which is what makes that safe:
 * also when the answer to COMMIT got lost.
 */
bool
in_one_transaction(const char *conninfo, const Request *request,
				   Work work, void *argument, Answer *answer, char sqlstate[6])
{
	Session		session;
	Claim		claimed = {0};
	bool		done;
	int			tries = 0;

	do
	{
		done = open_session(&session, conninfo) &&
			try_in_one_transaction(&session, request, work, argument, &claimed);
		PQfinish(session.connection);	/* rolls back what isn't committed */
	} while (!done && try_again(&session, ++tries, is_transient));

	*answer = claimed.answer;
	strcpy(sqlstate, session.sqlstate);
	return done;
}

static bool
try_in_one_transaction(Session *session, const Request *request, Work work, void *argument, Claim *claimed)
{
	return run(session, "BEGIN", 0, NULL) &&
		claim(session, request, claimed) &&
		(!claimed->is_ours ||
		 (work(session, argument, &claimed->answer.response) && complete(session, request, claimed))) &&
		run(session, "COMMIT", 0, NULL);
}

/*
 * Around a call to the outside: the claim is committed first, then the call is
 * made under a key of its own, then effect and response are committed.  The
 * call does the same once, for the same key.
 */
bool
around_call(const char *conninfo, const Request *request,
			Call call, Work work, void *argument, Answer *answer, char sqlstate[6])
{
	Session		session;
	Claim		claimed = {0};
	bool		done;
	int			tries = 0;

	do
		done = try_around_call(conninfo, &session, request, call, work, argument, &claimed);
	while (!done && try_again(&session, ++tries, is_overtaken));

	*answer = claimed.answer;
	strcpy(sqlstate, session.sqlstate);
	return done;
}

static bool
try_around_call(const char *conninfo, Session *session, const Request *request,
				Call call, Work work, void *argument, Claim *claimed)
{
	bool		done;
	int			tries = 0;

	claimed->is_ours = false;
	do
	{
		done = open_session(session, conninfo) && prepare_call(session, request, claimed);
		PQfinish(session->connection);	/* don't keep one while calling */
	} while (!done && try_again(session, ++tries, is_transient));
	if (!done || !claimed->is_ours)
		return done;

	if (!call(claimed->call_key, argument))
		return false;

	tries = 0;
	do
	{
		done = open_session(session, conninfo) && finish(session, request, work, argument, claimed);
		PQfinish(session->connection);
	} while (!done && try_again(session, ++tries, is_transient));
	return done;
}

/* Claims, unless that has been done, and writes down under which key the call will be made. */
static bool
prepare_call(Session *session, const Request *request, Claim *claimed)
{
	PGresult   *result;

	if (!claimed->is_ours && !claim(session, request, claimed))
		return false;
	if (!claimed->is_ours)
		return true;
	/* who resumes calls with the same key as the one who may have called before */
	if (claimed->call_key[0] == '\0')
	{
		result = execute(session, "SELECT gen_random_uuid()", 0, NULL, NULL, NULL);
		if (result == NULL)
			return false;
		snprintf(claimed->call_key, sizeof(claimed->call_key), "%s", PQgetvalue(result, 0, 0));
		PQclear(result);
	}
	return checkpoint(session, request, claimed, "calling");
}

static bool
finish(Session *session, const Request *request, Work work, void *argument, Claim *claimed)
{
	free_response(&claimed->answer.response);
	return run(session, "BEGIN", 0, NULL) &&
		heartbeat(session, request, claimed) &&		/* see README: a lost answer to COMMIT */
		work(session, argument, &claimed->answer.response) &&
		complete(session, request, claimed) &&
		run(session, "COMMIT", 0, NULL);
}

/* A copy of a column, or NULL. */
static char *
copy_text(const PGresult *result, const char *column)
{
	int			number = PQfnumber(result, column);

	return PQgetisnull(result, 0, number) ? NULL : strdup(PQgetvalue(result, 0, number));
}

/* The same of a column of bytes, which come as text, too. */
static char *
copy_bytes(const PGresult *result, const char *column, size_t *length)
{
	int			number = PQfnumber(result, column);
	unsigned char *bytes;
	char	   *copy;

	if (PQgetisnull(result, 0, number))
		return NULL;
	bytes = PQunescapeBytea((unsigned char *) PQgetvalue(result, 0, number), length);
	copy = malloc(*length + 1);
	memcpy(copy, bytes, *length + 1);
	PQfreemem(bytes);
	return copy;
}

static bool
claim(Session *session, const Request *request, Claim *claimed)
{
	const char *values[] = {request->tenant, request->key, request->body, request->scope, request->wait, request->lease};
	PGresult   *result = execute(session,
								 "SELECT *, recovery_data ->> 'call_key' AS call_key"
								 " FROM idempotency_claim($1, $2, $3, scope => $4, wait => $5, lease => $6)",
								 6, values, NULL, NULL);
	Answer	   *answer = &claimed->answer;

	if (result == NULL)
		return false;
	free_response(&answer->response);
	snprintf(answer->outcome, sizeof(answer->outcome), "%s", PQgetvalue(result, 0, PQfnumber(result, "outcome")));
	snprintf(claimed->token, sizeof(claimed->token), "%s", PQgetvalue(result, 0, PQfnumber(result, "token")));
	snprintf(claimed->call_key, sizeof(claimed->call_key), "%s", PQgetvalue(result, 0, PQfnumber(result, "call_key")));
	claimed->is_ours = strcmp(answer->outcome, "claimed") == 0 || strcmp(answer->outcome, "resumed") == 0;

	/* a column that is null has the value "", and so 0 */
	answer->response.status = atoi(PQgetvalue(result, 0, PQfnumber(result, "response_status")));
	answer->retry_after = atoi(PQgetvalue(result, 0, PQfnumber(result, "retry_after")));
	answer->response.headers = copy_text(result, "response_headers");
	answer->response.body = copy_bytes(result, "response_bytes", &answer->response.length);
	answer->response.is_bytes = answer->response.body != NULL;
	if (!answer->response.is_bytes)
		answer->response.body = copy_text(result, "response_body");
	PQclear(result);
	return true;
}

static bool
checkpoint(Session *session, const Request *request, const Claim *claimed, const char *point)
{
	const char *values[] = {request->tenant, request->key, claimed->token, point, claimed->call_key, request->scope, request->lease};

	return run(session, "SELECT idempotency_checkpoint($1, $2, $3, $4, jsonb_build_object('call_key', $5::text),"
			   " scope => $6, lease => $7)", 7, values);
}

static bool
heartbeat(Session *session, const Request *request, const Claim *claimed)
{
	const char *values[] = {request->tenant, request->key, claimed->token, request->scope, request->lease};

	return run(session, "SELECT idempotency_heartbeat($1, $2, $3, scope => $4, lease => $5)", 5, values);
}

/* Parameters without a type are text where there is a choice; bytes need the cast, and the binary format. */
static bool
complete(Session *session, const Request *request, const Claim *claimed)
{
	const Response *response = &claimed->answer.response;
	char		status[12];
	const char *values[] = {request->tenant, request->key, claimed->token, status, response->body, response->headers, request->scope};
	int			lengths[7] = {[4] = (int) response->length};
	int			formats[7] = {[4] = response->is_bytes};
	PGresult   *result;

	snprintf(status, sizeof(status), "%d", response->status);
	result = execute(session, response->is_bytes ?
					 "SELECT idempotency_complete($1, $2, $3, $4, $5::bytea, $6, scope => $7)" :
					 "SELECT idempotency_complete($1, $2, $3, $4, $5, $6, scope => $7)",
					 7, values, lengths, formats);
	PQclear(result);
	return result != NULL;
}

bool
open_session(Session *session, const char *conninfo)
{
	session->connection = PQconnectdb(conninfo);
	session->sqlstate[0] = '\0';
	if (PQstatus(session->connection) == CONNECTION_OK)
		return true;
	strcpy(session->sqlstate, "08001");
	return false;
}

/* Lengths and formats matter for binary parameters only.  Returns NULL if it failed. */
PGresult *
execute(Session *session, const char *sql, int count, const char *const *values, const int *lengths, const int *formats)
{
	PGresult   *result = PQexecParams(session->connection, sql, count, NULL, values, lengths, formats, 0);
	ExecStatusType status = PQresultStatus(result);
	const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);

	if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK)
		return result;
	/* libpq has no code of its own for a connection that is lost */
	snprintf(session->sqlstate, sizeof(session->sqlstate), "%s",
			 sqlstate != NULL ? sqlstate : PQstatus(session->connection) == CONNECTION_BAD ? "08006" : "XX000");
	PQclear(result);
	return NULL;
}

/* The same without a result. */
bool
run(Session *session, const char *sql, int count, const char *const *values)
{
	PGresult   *result = execute(session, sql, count, values, NULL, NULL);

	PQclear(result);
	return result != NULL;
}

void
free_response(Response *response)
{
	free(response->headers);
	free(response->body);
	memset(response, 0, sizeof(*response));
}

static bool
try_again(const Session *session, int tries, bool (*is_retryable) (const char *))
{
	if (tries == MAX_TRIES || !is_retryable(session->sqlstate))
		return false;
	usleep(random() % (tries * 100000));
	return true;
}

/* A connection that could not be made or is lost, or a transaction that could not be serialized. */
static bool
is_transient(const char *sqlstate)
{
	static const char *const states[] = {"57P01", "57P02", "57P03", "40001", "40P01"};

	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++)
		if (strcmp(sqlstate, states[i]) == 0)
			return true;
	return strncmp(sqlstate, "08", 2) == 0;
}

/* The claim went to somebody else, or was completed. */
static bool
is_overtaken(const char *sqlstate)
{
	return strcmp(sqlstate, "IK004") == 0;
}

/* The HTTP status that an error stands for. */
int
status_of(const char *sqlstate)
{
	static const struct
	{
		const char *sqlstate;
		int			status;
	}			statuses[] = {
		{"IK001", 400}, {"IK002", 400}, {"IK003", 400}, {"22023", 400},
		{"42501", 403}, {"IK005", 404}, {"IK004", 409}, {"25006", 503},
	};

	if (is_transient(sqlstate))
		return 503;
	for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++)
		if (strcmp(sqlstate, statuses[i].sqlstate) == 0)
			return statuses[i].status;
	return 500;
}
