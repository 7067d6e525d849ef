/* Requests that may be retried, with libpq. */
#ifndef RECIPE_H
#define RECIPE_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>

/* The body is JSON; wait and lease are intervals, or NULL. */
typedef struct Request
{
	const char *tenant;
	const char *scope;
	const char *key;
	const char *body;
	const char *wait;
	const char *lease;
} Request;

/* The headers are JSON.  The body is text, or length bytes, or NULL. */
typedef struct Response
{
	int			status;
	char	   *headers;
	char	   *body;
	size_t		length;
	bool		is_bytes;
} Response;

/* What to send: a replay with Idempotent-Replayed: true, and retry_after, if it isn't 0, as Retry-After. */
typedef struct Answer
{
	char		outcome[16];
	Response	response;
	int			retry_after;
} Answer;

/* A connection, and the SQLSTATE of the error that it has met. */
typedef struct Session
{
	PGconn	   *connection;
	char		sqlstate[6];
} Session;

/* These return false if it failed; work writes through the session only, and allocates what it responds. */
typedef bool (*Call) (const char *call_key, void *argument);
typedef bool (*Work) (Session *session, void *argument, Response *response);

/* If these return false, there is no answer, but sqlstate tells why. */
bool		in_one_transaction(const char *conninfo, const Request *request,
							   Work work, void *argument, Answer *answer, char sqlstate[6]);
bool		around_call(const char *conninfo, const Request *request,
						Call call, Work work, void *argument, Answer *answer, char sqlstate[6]);
void		free_response(Response *response);
int			status_of(const char *sqlstate);

bool		open_session(Session *session, const char *conninfo);
PGresult   *execute(Session *session, const char *sql, int count, const char *const *values,
					const int *lengths, const int *formats);
bool		run(Session *session, const char *sql, int count, const char *const *values);

#endif
