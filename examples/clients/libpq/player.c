/*
 * Plays a scenario: player CONNECTION-STRING SCENARIO LABEL.  With a fourth
 * argument, one step, it holds that at its heart until it is killed.
 */
#include "recipe.h"

#include <jansson.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* of the server's pg_type */
#define BOOLOID 16
#define BYTEAOID 17
#define INT8OID 20
#define INT4OID 23
#define JSONBOID 3802

#define MAX_SESSIONS 4
#define MAX_ARGUMENTS 16
#define MAX_RACERS 32

static char **arguments;
static const char *conninfo;
static const char *tenant;
static json_t *types;
static char message[8192];		/* what is wrong */

/* The sessions and variables of a scene. */
typedef struct Scene
{
	const char *names[MAX_SESSIONS];
	Session		sessions[MAX_SESSIONS];
	int			count;
	json_t	   *variables;
} Scene;

/* A request that books a seat, and what it comes to at its heart, where it can be held. */
typedef struct Booking
{
	json_t	   *want;
	int			tries;
	void		(*heart) (struct Booking *booking);
	struct Race *race;
	bool		has_arrived;
	char		outcome[16];
	char		sqlstate[6];
} Booking;

/* Who takes part waits here for all others, for a minute at most. */
typedef struct Race
{
	pthread_mutex_t mutex;
	pthread_cond_t all_have_arrived;
	int			still;
	struct timespec deadline;
} Race;

static bool play(Scene *scene, json_t *steps);

static bool __attribute__((format(printf, 1, 2)))
fail(const char *format, ...)
{
	va_list		list;

	va_start(list, format);
	vsnprintf(message, sizeof(message), format, list);
	va_end(list);
	return false;
}

static const char *
text_of(json_t *object, const char *name)
{
	return json_string_value(json_object_get(object, name));
}

static int
int_of(json_t *object, const char *name)
{
	return (int) json_integer_value(json_object_get(object, name));
}

/* As JSON, for people; never freed. */
static char *
shown(json_t *value)
{
	return json_dumps(value, JSON_ENCODE_ANY);
}

/* Bytes, in a scenario, are an object with their hexadecimal digits. */
static char *
bytes_of(json_t *value, size_t *length)
{
	const char *digits = text_of(value, "hex");
	char	   *bytes;

	if (digits == NULL)
		return NULL;
	*length = strlen(digits) / 2;
	bytes = calloc(1, *length + 1);
	for (size_t i = 0; i < *length; i++)
		sscanf(digits + 2 * i, "%2hhx", (unsigned char *) &bytes[i]);
	return bytes;
}

static json_t *
hex(const char *bytes, size_t length)
{
	char		digits[2 * length + 1];

	digits[0] = '\0';
	for (size_t i = 0; i < length; i++)
		sprintf(digits + 2 * i, "%02x", (unsigned char) bytes[i]);
	return json_pack("{s:s}", "hex", digits);
}

/* Books a seat, and charges for one. */

static bool
book_seat(Session *session, void *argument, Response *response)
{
	Booking    *booking = argument;
	json_t	   *want = json_object_get(booking->want, "response");
	json_t	   *body = json_object_get(want, "body");
	const char *first = text_of(booking->want, "first");
	char		seat[12];
	const char *values[] = {tenant, seat};

	snprintf(seat, sizeof(seat), "%d", int_of(booking->want, "seat"));
	if (first != NULL && booking->tries++ == 0 && !run(session, first, 0, NULL))
		return false;
	if (!run(session, "INSERT INTO bookings VALUES ($1, $2)", 2, values))
		return false;
	if (booking->heart != NULL)
		booking->heart(booking);

	response->status = int_of(want, "status");
	response->headers = json_dumps(json_object_get(want, "headers"), 0);
	response->body = bytes_of(body, &response->length);
	response->is_bytes = response->body != NULL;
	if (!response->is_bytes)
		response->body = strdup(json_string_value(body));
	return true;
}

static bool
charge(const char *call_key, void *argument)
{
	Booking    *booking = argument;
	Session		session;
	char		seat[12];
	const char *values[] = {tenant, seat, call_key};
	bool		done;

	snprintf(seat, sizeof(seat), "%d", int_of(booking->want, "seat"));
	done = open_session(&session, conninfo) &&
		run(&session, "INSERT INTO charges VALUES ($1, $2, $3) ON CONFLICT DO NOTHING", 3, values);
	PQfinish(session.connection);
	if (booking->heart != NULL)
		booking->heart(booking);
	return done;
}

/* What an HTTP server would send, as the only row. */
static json_t *
row_of(const Answer *answer)
{
	const Response *response = &answer->response;
	json_t	   *headers = response->headers == NULL ? json_object() : json_loads(response->headers, 0, NULL);

	if (strcmp(answer->outcome, "replay") == 0)
		json_object_set_new(headers, "Idempotent-Replayed", json_string("true"));
	if (answer->retry_after != 0)
		json_object_set_new(headers, "Retry-After", json_sprintf("%d", answer->retry_after));
	return json_pack("[{s:s, s:i, s:o, s:o*}]", "outcome", answer->outcome, "status", response->status, "headers", headers,
					 "body", response->body == NULL ? json_null() : response->is_bytes ?
					 hex(response->body, response->length) : json_string(response->body));
}

/* Asks for a booking, in one transaction or around a call.  Returns the row, or NULL. */
static json_t *
ask(Booking *booking, bool is_payment)
{
	json_t	   *want = booking->want;
	json_t	   *body = json_pack("{s:O}", "seat", json_object_get(want, "seat"));
	Request		request = {
		.tenant = tenant, .scope = is_payment ? "POST /payments" : "POST /bookings",
		.key = text_of(want, "key"), .body = json_dumps(body, 0),
		.wait = text_of(want, "wait"), .lease = text_of(want, "lease"),
	};
	Answer		answer;
	bool		done = is_payment ?
		around_call(conninfo, &request, charge, book_seat, booking, &answer, booking->sqlstate) :
		in_one_transaction(conninfo, &request, book_seat, booking, &answer, booking->sqlstate);
	json_t	   *row = done ? row_of(&answer) : NULL;

	strcpy(booking->outcome, done ? answer.outcome : booking->sqlstate);
	free_response(&answer.response);
	free((char *) request.body);
	json_decref(body);
	return row;
}

/* The steps.  Those that return a result return NULL with an SQLSTATE if they failed. */

static Session *
session_of(Scene *scene, json_t *step)
{
	const char *name = text_of(step, "session");
	int			i = 0;

	while (i < scene->count && strcmp(scene->names[i], name) != 0)
		i++;
	if (i == scene->count)
	{
		scene->names[scene->count++] = name;
		open_session(&scene->sessions[i], conninfo);
	}
	return &scene->sessions[i];
}

static json_t *
value_of(Scene *scene, json_t *value)
{
	const char *text = json_string_value(value);

	return text != NULL && text[0] == '$' ? json_object_get(scene->variables, text + 1) : value;
}

/* The overloads of idempotency_complete differ in the type of the body. */
static const char *
type_of(const char *name, json_t *value)
{
	if (strcmp(name, "response_body") == 0 && json_is_object(value))
		return text_of(value, "hex") != NULL ? "bytea" : "jsonb";
	return text_of(types, name);
}

/* Of jsonb, a string is how the document is spelt. */
static char *
parameter(json_t *value)
{
	if (json_is_null(value))
		return NULL;
	if (json_is_string(value))
		return strdup(json_string_value(value));
	if (text_of(value, "jsonb") != NULL)
		return strdup(text_of(value, "jsonb"));
	return json_dumps(value, JSON_ENCODE_ANY);
}

static json_t *
column_of(const PGresult *result, int row, int column)
{
	const char *text = PQgetvalue(result, row, column);
	unsigned char *bytes;
	size_t		length;
	json_t	   *value;

	if (PQgetisnull(result, row, column))
		return json_null();
	switch (PQftype(result, column))
	{
		case BOOLOID:
			return json_boolean(text[0] == 't');
		case INT4OID:
		case INT8OID:
			return json_integer(atoll(text));
		case JSONBOID:
			return json_loads(text, JSON_DECODE_ANY, NULL);
		case BYTEAOID:
			bytes = PQunescapeBytea((const unsigned char *) text, &length);
			value = hex((char *) bytes, length);
			PQfreemem(bytes);
			return value;
		default:
			return json_string(text);
	}
}

static json_t *
rows_of(const PGresult *result)
{
	json_t	   *rows = json_array();

	for (int i = 0; i < PQntuples(result); i++)
	{
		json_t	   *row = json_object();

		for (int j = 0; j < PQnfields(result); j++)
			json_object_set_new(row, PQfname(result, j), column_of(result, i, j));
		json_array_append_new(rows, row);
	}
	return rows;
}

static json_t *
call(Scene *scene, json_t *step, char *sqlstate)
{
	Session    *session = session_of(scene, step);
	char		sql[2048];
	int			length = snprintf(sql, sizeof(sql), "SELECT * FROM %s(", text_of(step, "call"));
	char	   *values[MAX_ARGUMENTS];
	int			lengths[MAX_ARGUMENTS] = {0};
	int			formats[MAX_ARGUMENTS] = {0};
	int			count = 0;
	const char *name;
	json_t	   *value;
	PGresult   *result;
	json_t	   *rows = NULL;

	json_object_foreach(json_object_get(step, "with"), name, value)
	{
		size_t		size = 0;

		length += snprintf(sql + length, sizeof(sql) - length, "%s%s => $%d::%s",
						   count == 0 ? "" : ", ", name, count + 1, type_of(name, value));
		values[count] = bytes_of(value, &size);
		lengths[count] = (int) size;
		formats[count] = values[count] != NULL;
		if (values[count] == NULL)
			values[count] = parameter(value_of(scene, value));
		count++;
	}
	strcpy(sql + length, ")");

	result = execute(session, sql, count, (const char *const *) values, lengths, formats);
	if (result != NULL)
		rows = rows_of(result);
	else
		strcpy(sqlstate, session->sqlstate);
	PQclear(result);
	for (int i = 0; i < count; i++)
		free(values[i]);
	return rows;
}

static json_t *
transaction(Scene *scene, json_t *step, char *sqlstate)
{
	Session    *session = session_of(scene, step);

	if (run(session, text_of(step, "transaction"), 0, NULL))
		return json_array();
	strcpy(sqlstate, session->sqlstate);
	return NULL;
}

/* Books a seat in one transaction, or charges a card at the provider and then books the seat. */
static json_t *
book_or_pay(json_t *step, char *sqlstate)
{
	bool		is_payment = json_object_get(step, "pay") != NULL;
	Booking		booking = {.want = json_object_get(step, is_payment ? "pay" : "book")};
	json_t	   *row = ask(&booking, is_payment);

	strcpy(sqlstate, booking.sqlstate);
	return row;
}

static void
arrive(Booking *booking)
{
	Race	   *race = booking->race;

	booking->has_arrived = true;
	pthread_mutex_lock(&race->mutex);
	if (--race->still == 0)
		pthread_cond_broadcast(&race->all_have_arrived);
	while (race->still > 0 &&
		   pthread_cond_timedwait(&race->all_have_arrived, &race->mutex, &race->deadline) == 0)
		;
	pthread_mutex_unlock(&race->mutex);
}

static void *
contend(void *argument)
{
	Booking    *booking = argument;

	json_decref(ask(booking, false));
	if (booking->heart != NULL && !booking->has_arrived)
		arrive(booking);
	return NULL;
}

/* Many at once.  If it is held, who has got the work waits until all others have been answered. */
static bool
race(json_t *step)
{
	int			number = int_of(step, "race");
	Race		race = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, number, {0}};
	pthread_t	threads[MAX_RACERS];
	Booking		bookings[MAX_RACERS];
	json_t	   *counts = json_object();

	clock_gettime(CLOCK_REALTIME, &race.deadline);
	race.deadline.tv_sec += 60;
	for (int i = 0; i < number; i++)
	{
		bookings[i] = (Booking) {
			.want = json_object_get(step, "book"), .race = &race,
			.heart = json_object_get(step, "held") != NULL ? arrive : NULL,
		};
		pthread_create(&threads[i], NULL, contend, &bookings[i]);
	}
	for (int i = 0; i < number; i++)
	{
		pthread_join(threads[i], NULL);
		json_object_set_new(counts, bookings[i].outcome, json_integer(int_of(counts, bookings[i].outcome) + 1));
	}
	if (!json_equal(counts, json_object_get(step, "outcomes")))
		return fail("got %s", shown(counts));
	json_decref(counts);
	return true;
}

/* Plays a step in another process, which is killed at its heart. */
static bool
crash(json_t *step)
{
	int			sockets[2];
	char		said[16] = "";
	pid_t		holder;
	char	   *held = json_dumps(json_object_get(step, "crash"), 0);

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0)
		return fail("no sockets");
	holder = fork();
	if (holder == 0)
	{
		dup2(sockets[1], STDIN_FILENO);
		dup2(sockets[1], STDOUT_FILENO);
		execl("/proc/self/exe", arguments[0], conninfo, arguments[2], tenant, held, NULL);
		_exit(1);
	}
	close(sockets[1]);
	if (read(sockets[0], said, sizeof(said) - 1) < 0)
		said[0] = '\0';
	kill(holder, SIGKILL);
	waitpid(holder, NULL, 0);
	close(sockets[0]);
	free(held);
	return strcmp(said, "holding\n") == 0 || fail("it did not come to its heart");
}

static bool
repeat(Scene *scene, json_t *step)
{
	for (int i = 0; i < int_of(step, "repeat"); i++)
		if (!play(scene, json_object_get(step, "steps")))
			return false;
	return true;
}

/* What comes out. */

static bool
matches(Scene *scene, json_t *value, json_t *expected)
{
	json_t	   *above = json_object_get(expected, "above");

	if (above != NULL)
		return json_is_integer(value) && json_integer_value(value) > json_integer_value(value_of(scene, above));
	return value != NULL && json_equal(value, expected);
}

/* An array stands for exactly these rows, an object for one; either names the columns that matter. */
static bool
compare(Scene *scene, json_t *rows, json_t *expected)
{
	json_t	   *expected_rows = json_is_array(expected) ? json_incref(expected) : json_pack("[O]", expected);
	size_t		i;
	json_t	   *row;
	const char *column;
	json_t	   *value;

	if (json_array_size(rows) != json_array_size(expected_rows))
		return fail("rows: %s", shown(rows));
	json_array_foreach(expected_rows, i, row)
		json_object_foreach(row, column, value)
		{
			json_t	   *got = json_object_get(json_array_get(rows, i), column);

			if (!matches(scene, got, value))
				return fail("%s is %s", column, got == NULL ? "missing" : shown(got));
		}
	json_decref(expected_rows);
	return true;
}

/* Plays a step that has a result. */
static bool
play_and_compare(Scene *scene, json_t *step)
{
	char		sqlstate[6] = "";
	const char *error = text_of(step, "error");
	json_t	   *rows = json_object_get(step, "call") != NULL ? call(scene, step, sqlstate) :
		json_object_get(step, "transaction") != NULL ? transaction(scene, step, sqlstate) :
		book_or_pay(step, sqlstate);
	const char *column;
	json_t	   *variable;

	if (rows == NULL)
		return (error != NULL && strcmp(sqlstate, error) == 0 && status_of(sqlstate) == int_of(step, "status")) ||
			fail("failed with %s, which is status %d", sqlstate, status_of(sqlstate));
	if (error != NULL)
		return fail("there was no error, but %s", shown(rows));
	if (json_object_get(step, "expect") != NULL && !compare(scene, rows, json_object_get(step, "expect")))
		return false;
	json_object_foreach(json_object_get(step, "save"), column, variable)
		json_object_set(scene->variables, json_string_value(variable), json_object_get(json_array_get(rows, 0), column));
	json_decref(rows);
	return true;
}

static bool
play_step(Scene *scene, json_t *step)
{
	if (json_object_get(step, "race") != NULL)
		return race(step);
	if (json_object_get(step, "crash") != NULL)
		return crash(step);
	if (json_object_get(step, "repeat") != NULL)
		return repeat(scene, step);
	return play_and_compare(scene, step);
}

static bool
play(Scene *scene, json_t *steps)
{
	size_t		i;
	json_t	   *step;

	json_array_foreach(steps, i, step)
		if (!play_step(scene, step))
		{
			char	   *what = strdup(message);

			fail("step %zu, %s:\n%s", i + 1, shown(step), what);
			free(what);
			return false;
		}
	return true;
}

static void
play_scene(int number, json_t *scene)
{
	Scene		state = {.variables = json_object()};
	bool		done = play(&state, json_object_get(scene, "steps"));

	printf("%s %d - %s: %s\n", done ? "ok" : "not ok", number, tenant, text_of(scene, "name"));
	if (!done)
		for (char *line = strtok(message, "\n"); line != NULL; line = strtok(NULL, "\n"))
			printf("# %s\n", line);
	fflush(stdout);
	for (int i = 0; i < state.count; i++)
		PQfinish(state.sessions[i].connection);
	json_decref(state.variables);
}

static void
hold_forever(Booking *booking)
{
	char		nothing;

	(void) booking;
	puts("holding");
	fflush(stdout);
	while (read(STDIN_FILENO, &nothing, 1) > 0)
		;
	_exit(1);					/* the player is gone */
}

static void
hold(json_t *step)
{
	bool		is_payment = json_object_get(step, "pay") != NULL;
	Booking		booking = {.want = json_object_get(step, is_payment ? "pay" : "book"), .heart = hold_forever};

	json_decref(ask(&booking, is_payment));
}

int
main(int argc, char **argv)
{
	json_t	   *scenario;
	json_t	   *scenes;
	json_t	   *scene;
	size_t		i;

	if (argc < 4 || (scenario = json_load_file(argv[2], 0, NULL)) == NULL)
		return 2;
	arguments = argv;
	conninfo = argv[1];
	tenant = argv[3];
	types = json_object_get(scenario, "types");
	if (argc > 4)
	{
		hold(json_loads(argv[4], 0, NULL));
		return 1;
	}
	scenes = json_object_get(scenario, "scenes");
	printf("1..%zu\n", json_array_size(scenes));
	json_array_foreach(scenes, i, scene)
		play_scene((int) i + 1, scene);
	json_decref(scenario);
	return 0;
}
