/*-------------------------------------------------------------------------
 *
 * statements.c
 *	  Every SQL statement that C code runs on the extension's tables.
 *
 * Operators are qualified, so it does not matter whose search_path it is; the
 * table's name is filled in, qualified too, when a statement is prepared.
 *
 * Plans are kept, and made when a table may still be empty.  So each
 * statement is written in such a way that only the index made for it can
 * serve it, now and when the table has grown.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"

#include "statements.h"

#define EQ " OPERATOR(pg_catalog.=) "
#define NE " OPERATOR(pg_catalog.<>) "
#define GE " OPERATOR(pg_catalog.>=) "
#define GT " OPERATOR(pg_catalog.>) "
#define LT " OPERATOR(pg_catalog.<) "
#define LE " OPERATOR(pg_catalog.<=) "
#define PLUS " OPERATOR(pg_catalog.+) "

#define KEY_IS \
	"tenant_id" EQ "$1 AND scope" EQ "$2 AND key" EQ "$3"
#define KEY_TYPES TEXTOID, TEXTOID, TEXTOID

/*
 * The other conditions are written so that no index can serve them.  Planned
 * on a table that was empty when it was analyzed, the index on expires_at
 * would seem cheaper than the primary key, and be read whole ever after.
 */
#define IS_ALIVE_AT(time) " AND (expires_at" GT time ") IS TRUE"
#define HAS_REQUEST " AND (request IS NULL) IS FALSE"

/* ... and one that only the holder of token $4 may run at time $5 with these */
#define KEY_IS_HELD \
	KEY_IS " AND token" EQ "$4 AND lease_expires_at IS NOT NULL" \
	IS_ALIVE_AT("$5")
#define HELD_KEY_TYPES KEY_TYPES, INT8OID, TIMESTAMPTZOID

/*
 * A key's whole row.  The order of the columns is that of KeyColumn in key.h.
 * It is also the table's, with none left out: then the executor hands out rows
 * as they are, instead of setting up to take them apart.
 */
#define SELECT_KEY_TEXT \
	"SELECT created_at, expires_at, lease_expires_at, completed_at," \
	" token, attempt, response_status, tenant_id, scope, key," \
	" request_hash, request, recovery_point, recovery_data," \
	" response_headers, response_body, response_bytes" \
	" FROM %1$s WHERE " KEY_IS

/* Nothing is left of what an expired key's work and its answer were. */
#define NO_CONTENTS \
	"recovery_point = NULL, recovery_data = NULL, response_status = NULL," \
	" response_headers = NULL, response_body = NULL, response_bytes = NULL"

/* When a key expired.  A tombstone is a row as described in key.h. */
#define KEY_EXPIRY \
	"CASE WHEN completed_at IS NOT NULL AND response_status IS NULL" \
	" THEN completed_at ELSE expires_at END"

/*
 * The rows of a tenant, or of all if it is null.  Beside places (ctid) it says
 * on a table that is distributed by tenant whose shard they are in: others have
 * rows at the same places.  No index can serve it, also see IS_ALIVE_AT.
 */
#define OF_TENANT(tenant) "(" tenant " IS NULL OR tenant_id" EQ tenant ")"

/*
 * The rows at the places $1, if they still are expired at time $2.  IS TRUE
 * keeps the planner from the index on expires_at, which would read all that has
 * expired.
 */
#define ARE_EXPIRED "ctid" EQ "ANY ($1) AND (expires_at" LE "$2) IS TRUE"

/* every statement on one event starts with these parameters */
#define EVENT_IS \
	"tenant_id" EQ "$1 AND source" EQ "$2 AND event_id" EQ "$3"
#define EVENT_TYPES TEXTOID, TEXTOID, TEXTOID

/* ... and one that only the holder of token $4 may run at time $5 with these */
#define EVENT_IS_HELD \
	EVENT_IS " AND (token" EQ "$4 AND state" EQ "'processing') IS TRUE"
#define HELD_EVENT_TYPES EVENT_TYPES, INT8OID, TIMESTAMPTZOID

/*
 * An event that is finished at the given time.  In a stream it stays due,
 * until a fetch has passed its turn on.
 */
#define FINISH_AT(time, ttl) \
	" finished_at = " time ", expires_at = " time PLUS "COALESCE(ttl, " ttl ")," \
	" due_at = CASE WHEN stream IS NULL THEN NULL ELSE " time " END"

/* An event counts until its time is over and no turn has to be passed on. */
#define IS_EXPIRED_AT(time) \
	"(finished_at IS NOT NULL AND due_at IS NULL AND expires_at" LE time ")"

/* A finished event begins anew.  Its old tokens hold nothing any more. */
#define REQUEUE_AT(time) \
	"state = 'pending', attempt = 0, token = token" PLUS "1, due_at = " time "," \
	" finished_at = NULL, expires_at = NULL"

/* What the index on streams begins with, but for the state. */
#define STREAM_IS(tenant, source, stream) \
	"tenant_id" EQ tenant " AND source" EQ source " AND stream" EQ stream

/*
 * There is no such event at the time, if we may look.  ON CONFLICT alone would
 * wait for whoever is changing the event, such as a worker that has it in an
 * open transaction.  (OFFSET keeps it a look at the index, for the planner
 * leaves it alone.)
 */
#define IS_NEW(event_id, time, may_look) \
	"(NOT " may_look " OR NOT EXISTS (SELECT FROM %1$s AS known" \
	" WHERE known.tenant_id" EQ "$1 AND known.source" EQ "$2" \
	" AND known.event_id" EQ event_id \
	" AND (" IS_EXPIRED_AT(time) ") IS NOT TRUE OFFSET 0))"

/*
 * Inserts events, and returns those that were new.  So they can be counted on
 * a distributed table, too: of an INSERT ... SELECT, Citus counts what it was
 * to insert.
 */
#define INSERT_NEW_EVENTS(insert) \
	"WITH new AS (" insert " ON CONFLICT (tenant_id, source, event_id)" \
	" DO NOTHING RETURNING event_id) SELECT event_id FROM new"

/* The order within a stream. */
#define STREAM_ORDER " ORDER BY sequence, received_at, event_id"

/*
 * The first event of a stream in the given state comes before one with this
 * sequence and time.
 */
#define IS_BEHIND_FIRST(stream_is, state_is, sequence, received_at) \
	"EXISTS (SELECT FROM (SELECT sequence, received_at FROM %1$s" \
	" WHERE " stream_is " AND state" EQ state_is STREAM_ORDER " LIMIT 1)" \
	" AS first WHERE first.sequence" LT sequence \
	" OR (first.sequence IS NOT NULL AND " sequence " IS NULL)" \
	" OR ((first.sequence" EQ sequence \
	" OR (first.sequence IS NULL AND " sequence " IS NULL))" \
	" AND first.received_at" LT received_at "))"

/* Whether an event that is being recorded has to wait for its turn. */
#define IS_BEHIND(stream_is, sequence, received_at) \
	"(" IS_BEHIND_FIRST(stream_is, "'pending'", sequence, received_at) " OR " \
	IS_BEHIND_FIRST(stream_is, "'processing'", sequence, received_at) ")"

/*
 * The rows of a tenant that a condition holds for, by their place.  They are
 * locked, and those that another transaction has locked are left out.
 */
#define IN_UNLOCKED(tenant, condition) \
	OF_TENANT(tenant) " AND ctid" EQ "ANY (ARRAY(" \
	"SELECT ctid FROM %1$s WHERE " OF_TENANT(tenant) " AND " condition \
	" FOR UPDATE SKIP LOCKED))"

/*
 * The same for events named by an array, and without a lock.  Each is looked
 * up on its own: asked for all at once, the planner might read everything of
 * the tenant and source instead.
 */
#define EACH_EVENT(ids, condition) \
	OF_TENANT("$1") " AND ctid" EQ "ANY (ARRAY(" \
	"SELECT each.ctid FROM pg_catalog.unnest(" ids ")" \
	" AS e (id), LATERAL (SELECT ctid FROM %1$s WHERE tenant_id" EQ "$1" \
	" AND source" EQ "$2 AND event_id" EQ "e.id AND (" condition ") IS TRUE" \
	" LIMIT 1) AS each))"

/* What fetch returns of a row, in the order of the type webhook_event. */
#define EVENT_COLUMNS(late) \
	"tenant_id, source, event_id, token, attempt, event_type, payload," \
	" headers, stream, sequence, " late ", received_at"

/*
 * A higher sequence of the event's stream has been processed.  (Of EXISTS the
 * planner would ignore the order, which only the index on streams yields.)
 */
#define IS_LATE \
	"(stream IS NOT NULL AND (SELECT true FROM %1$s AS later" \
	" WHERE later.tenant_id" EQ "$1 AND later.source" EQ "$2" \
	" AND later.stream" EQ "event.stream" \
	" AND later.state" EQ "'processed' AND later.sequence" GT "event.sequence" \
	" ORDER BY later.sequence LIMIT 1) IS NOT NULL)"

/*
 * The due events of all, of a source, of a tenant, or of a source of a tenant.
 * What has been due longest comes first.
 *
 * Each has an index of its own, and must not use another's, reading what is
 * due of everybody.  The planner ignores ORDER BY source where source = $4.
 * With = ANY (ARRAY[$4]) it keeps that order, which only the right index
 * yields.  DUE_OF_BOTH uses POSIX, a collation equal to C, to differ from
 * DUE_OF_SOURCE.
 */
#define DUE "due_at" LE "$1"
#define DUE_OF_SOURCE DUE " AND source" EQ "ANY (ARRAY[$4])"
#define DUE_OF_TENANT DUE " AND tenant_id" EQ "ANY (ARRAY[$4])"
#define DUE_OF_BOTH \
	DUE " AND tenant_id" EQ "$4 AND " SOURCE_IN_POSIX EQ "ANY (ARRAY[$5])"
#define SOURCE_IN_POSIX "source COLLATE pg_catalog.\"POSIX\""
#define BY_TIME " ORDER BY due_at"
#define BY_SOURCE " ORDER BY source, due_at"
#define BY_TENANT " ORDER BY tenant_id, due_at"
#define BY_BOTH " ORDER BY " SOURCE_IN_POSIX ", due_at"

#define LIST_TEXT(due, order) \
	"SELECT tenant_id, source, event_id, stream, state, attempt, due_at, xmin," \
	" tableoid FROM %1$s WHERE " due order " LIMIT $2 OFFSET $3"

#define TAKE_TEXT(due, order, lease_end, tenant) \
	"UPDATE %1$s SET state = 'processing'," \
	" token = GREATEST($3, token" PLUS "1)," \
	" attempt = attempt" PLUS "1, due_at = " lease_end " WHERE " \
	IN_UNLOCKED(tenant, due " AND (stream IS NULL) AND (state" EQ "'pending')" \
				order " LIMIT $2") \
	" RETURNING " EVENT_COLUMNS("false")

const Statement statements[NUM_STATEMENTS] = {
	[INSERT_KEY] = {
		KEYS_TABLE,
		/* hash, request, token, created_at, lease_expires_at, expires_at */
		"INSERT INTO %1$s (tenant_id, scope, key, request_hash, request, token,"
		" attempt, created_at, lease_expires_at, expires_at)"
		" VALUES ($1, $2, $3, $4, $5, $6, 1, $7, $8, $9)"
		" ON CONFLICT (tenant_id, scope, key) DO NOTHING",
		{KEY_TYPES, BYTEAOID, JSONBOID, INT8OID, TIMESTAMPTZOID,
		TIMESTAMPTZOID, TIMESTAMPTZOID}
	},
	[SELECT_KEY] = {
		KEYS_TABLE,
		SELECT_KEY_TEXT,
		{KEY_TYPES}
	},
	[SELECT_KEY_STABLE] = {
		KEYS_TABLE,
		/*
		 * Above READ COMMITTED, a row that was deleted since the snapshot may
		 * be seen beside the one that this transaction has put in its place.
		 */
		SELECT_KEY_TEXT " ORDER BY token DESC LIMIT 1",
		{KEY_TYPES}
	},
	[RECLAIM_KEY] = {
		KEYS_TABLE,
		/* as INSERT_KEY, then the token and expires_at that the row had */
		"UPDATE %1$s SET request_hash = $4, request = $5, token = $6,"
		" attempt = 1, created_at = $7, lease_expires_at = $8,"
		" expires_at = $9, completed_at = NULL, " NO_CONTENTS
		" WHERE " KEY_IS " AND token" EQ "$10"
		" AND (expires_at" EQ "$11) IS TRUE",
		{KEY_TYPES, BYTEAOID, JSONBOID, INT8OID, TIMESTAMPTZOID,
		TIMESTAMPTZOID, TIMESTAMPTZOID, INT8OID, TIMESTAMPTZOID}
	},
	[RESUME_KEY] = {
		KEYS_TABLE,
		/*
		 * token, lease_expires_at, expires_at, request; then the token and
		 * lease_expires_at that the row had
		 */
		"UPDATE %1$s SET token = $4, attempt = attempt" PLUS "1,"
		" lease_expires_at = $5, expires_at = GREATEST(expires_at, $6),"
		" request = COALESCE(request, $7)"
		" WHERE " KEY_IS " AND token" EQ "$8 AND completed_at IS NULL"
		" AND COALESCE(lease_expires_at, '-infinity')" EQ
		"COALESCE($9, '-infinity')",
		{KEY_TYPES, INT8OID, TIMESTAMPTZOID, TIMESTAMPTZOID, JSONBOID,
		INT8OID, TIMESTAMPTZOID}
	},
	[COMPLETE_KEY] = {
		KEYS_TABLE,
		/* status, headers, body, bytes, new expires_at or NULL */
		"UPDATE %1$s SET response_status = $6, response_headers = $7,"
		" response_body = $8, response_bytes = $9, completed_at = $5,"
		" lease_expires_at = NULL, request = NULL,"
		" expires_at = COALESCE($10, expires_at) WHERE " KEY_IS_HELD,
		{HELD_KEY_TYPES, INT4OID, JSONBOID, TEXTOID, BYTEAOID,
		TIMESTAMPTZOID}
	},
	[RELEASE_KEY] = {
		KEYS_TABLE,
		/* new expires_at or NULL */
		"UPDATE %1$s SET lease_expires_at = NULL,"
		" expires_at = COALESCE($6, expires_at) WHERE " KEY_IS_HELD,
		{HELD_KEY_TYPES, TIMESTAMPTZOID}
	},
	[CHECKPOINT_KEY] = {
		KEYS_TABLE,
		/* lease_expires_at, recovery_point, recovery_data */
		"UPDATE %1$s SET lease_expires_at = $6,"
		" expires_at = GREATEST(expires_at, $6), recovery_point = $7,"
		" recovery_data = $8 WHERE " KEY_IS_HELD,
		{HELD_KEY_TYPES, TIMESTAMPTZOID, TEXTOID, JSONBOID}
	},
	[HEARTBEAT_KEY] = {
		KEYS_TABLE,
		/* lease_expires_at */
		"UPDATE %1$s SET lease_expires_at = $6,"
		" expires_at = GREATEST(expires_at, $6) WHERE " KEY_IS_HELD,
		{HELD_KEY_TYPES, TIMESTAMPTZOID}
	},
	[DELETE_KEY] = {
		KEYS_TABLE,
		"DELETE FROM %1$s WHERE " KEY_IS,
		{KEY_TYPES}
	},
	[LIST_ABANDONED] = {
		KEYS_TABLE,
		/* now, tenant or NULL, scope or NULL, limit, offset */
		"SELECT tenant_id, scope, key FROM %1$s WHERE request IS NOT NULL"
		" AND lease_expires_at" LE "$1" IS_ALIVE_AT("$1")
		" AND ($2 IS NULL OR tenant_id" EQ "$2)"
		" AND ($3 IS NULL OR scope" EQ "$3)"
		" ORDER BY created_at LIMIT $4 OFFSET $5",
		{TIMESTAMPTZOID, TEXTOID, TEXTOID, INT8OID, INT8OID}
	},
	[RESUME_ABANDONED] = {
		KEYS_TABLE,
		/* when the lease had to end, least token, lease_expires_at, expires_at */
		"UPDATE %1$s SET token = GREATEST($5, token" PLUS "1),"
		" attempt = attempt" PLUS "1, lease_expires_at = $6,"
		" expires_at = GREATEST(expires_at, $7)"
		" WHERE " IN_UNLOCKED("$1", KEY_IS HAS_REQUEST
							  " AND lease_expires_at" LE "$4"
							  IS_ALIVE_AT("$4"))
		" RETURNING token, attempt, request, recovery_point, recovery_data",
		{KEY_TYPES, TIMESTAMPTZOID, INT8OID, TIMESTAMPTZOID, TIMESTAMPTZOID}
	},
	[LIST_EXPIRED_KEYS] = {
		KEYS_TABLE,
		/*
		 * now, tenant or NULL, where to begin, limit, when a key must have
		 * expired to be deleted; the columns are ExpiredColumn's in sweep.c
		 */
		"SELECT ctid, tenant_id, scope, key, expires_at, "
		KEY_EXPIRY LE "$5 FROM %1$s"
		" WHERE expires_at" LE "$1 AND expires_at" GE "$3"
		" AND ($2 IS NULL OR tenant_id" EQ "$2)"
		" ORDER BY expires_at LIMIT $4",
		{TIMESTAMPTZOID, TEXTOID, TIMESTAMPTZOID, INT8OID, TIMESTAMPTZOID}
	},
	[EMPTY_EXPIRED_KEYS] = {
		KEYS_TABLE,
		/* array of ctid, now, tenant or NULL, length of a tombstone's life */
		"UPDATE %1$s SET completed_at = " KEY_EXPIRY ","
		" expires_at = " KEY_EXPIRY PLUS "$4, lease_expires_at = NULL,"
		" request_hash = NULL, request = NULL, " NO_CONTENTS
		" WHERE " IN_UNLOCKED("$3", ARE_EXPIRED),
		{TIDARRAYOID, TIMESTAMPTZOID, TEXTOID, INTERVALOID}
	},
	[DELETE_EXPIRED_KEYS] = {
		KEYS_TABLE,
		/* array of ctid, now, tenant or NULL */
		"DELETE FROM %1$s WHERE " IN_UNLOCKED("$3", ARE_EXPIRED),
		{TIDARRAYOID, TIMESTAMPTZOID, TEXTOID}
	},
	[DELETE_TENANT_KEYS] = {
		KEYS_TABLE,
		"DELETE FROM %1$s WHERE tenant_id" EQ "$1",
		{TEXTOID}
	},
	[SUMMARIZE_KEYS] = {
		KEYS_TABLE,
		/* now, tenant or NULL; the columns are in activity.c */
		"SELECT tenant_id, scope,"
		" pg_catalog.count(*) FILTER (WHERE lease_expires_at" GT "$1),"
		" pg_catalog.count(*) FILTER (WHERE lease_expires_at" LE "$1),"
		" pg_catalog.count(*) FILTER (WHERE lease_expires_at IS NULL"
		" AND completed_at IS NULL),"
		" pg_catalog.count(completed_at),"
		" pg_catalog.min(created_at) FILTER (WHERE completed_at IS NULL)"
		" FROM %1$s WHERE " KEY_EXPIRY GT "$1"
		" AND ($2 IS NULL OR tenant_id" EQ "$2)"
		" GROUP BY tenant_id, scope ORDER BY tenant_id, scope",
		{TIMESTAMPTZOID, TEXTOID}
	},
	[INSERT_EVENT] = {
		INBOX_TABLE,
		/*
		 * payload, event_type, headers, stream, sequence, ttl, state,
		 * received_at, due_at, finished_at, expires_at, may look
		 */
		INSERT_NEW_EVENTS(
		"INSERT INTO %1$s (tenant_id, source, event_id, payload, event_type,"
		" headers, stream, sequence, ttl, state, received_at, due_at,"
		" finished_at, expires_at, token, attempt) SELECT $1, $2, $3, $4,"
		" $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, 0, 0"
		" WHERE " IS_NEW("$3", "$11", "$15")),
		{EVENT_TYPES, JSONBOID, TEXTOID, JSONBOID, TEXTOID, INT8OID,
		INTERVALOID, TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID,
		TIMESTAMPTZOID, BOOLOID}
	},
	[INSERT_STREAM_EVENT] = {
		INBOX_TABLE,
		/*
		 * payload, event_type, headers, stream, sequence, ttl, received_at,
		 * may look
		 */
		INSERT_NEW_EVENTS(
		"INSERT INTO %1$s (tenant_id, source, event_id, payload, event_type,"
		" headers, stream, sequence, ttl, state, received_at, due_at,"
		" token, attempt) SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9,"
		" 'pending', $10, CASE WHEN " IS_BEHIND(STREAM_IS("$1", "$2", "$7"),
												"$8", "$10")
		" THEN NULL ELSE $10 END, 0, 0 WHERE " IS_NEW("$3", "$10", "$11")),
		{EVENT_TYPES, JSONBOID, TEXTOID, JSONBOID, TEXTOID, INT8OID,
		INTERVALOID, TIMESTAMPTZOID, BOOLOID}
	},
	[INSERT_EVENTS] = {
		INBOX_TABLE,
		/*
		 * tenant, source, now, default ttl; then an array for each of
		 * event_id, payload, event_type, headers, stream, sequence, ttl,
		 * processed, received_at, turn (see BatchTurn); then may look
		 *
		 * They are inserted in the order of the index, so that two batches
		 * with events in common can't wait for each other.
		 */
		INSERT_NEW_EVENTS(
		"INSERT INTO %1$s (tenant_id, source, event_id, payload, event_type,"
		" headers, stream, sequence, ttl, state, received_at, due_at,"
		" finished_at, expires_at, token, attempt) SELECT $1, $2,"
		" e.event_id, e.payload, e.event_type, e.headers, e.stream,"
		" e.sequence, e.ttl,"
		" CASE WHEN e.processed THEN 'processed' ELSE 'pending' END,"
		" e.received_at, CASE WHEN e.processed OR e.turn" EQ "'w' OR"
		" (e.turn" EQ "'l' AND " IS_BEHIND(STREAM_IS("$1", "$2", "e.stream"),
										   "e.sequence", "e.received_at")
		") THEN NULL ELSE e.received_at END,"
		" CASE WHEN e.processed THEN $3 END,"
		" CASE WHEN e.processed THEN $3" PLUS "COALESCE(e.ttl, $4) END, 0, 0"
		" FROM ROWS FROM (pg_catalog.unnest($5), pg_catalog.unnest($6),"
		" pg_catalog.unnest($7), pg_catalog.unnest($8),"
		" pg_catalog.unnest($9), pg_catalog.unnest($10),"
		" pg_catalog.unnest($11), pg_catalog.unnest($12),"
		" pg_catalog.unnest($13), pg_catalog.unnest($14))"
		" WITH ORDINALITY AS e (event_id, payload, event_type, headers,"
		" stream, sequence, ttl, processed, received_at, turn, number)"
		" WHERE " IS_NEW("e.event_id", "$3", "$15") " ORDER BY e.event_id COLLATE pg_catalog.\"C\", e.number"),
		{TEXTOID, TEXTOID, TIMESTAMPTZOID, INTERVALOID, TEXTARRAYOID,
		JSONBARRAYOID, TEXTARRAYOID, JSONBARRAYOID, TEXTARRAYOID,
		INT8ARRAYOID, INTERVALARRAYOID, BOOLARRAYOID, TIMESTAMPTZARRAYOID,
		CHARARRAYOID, BOOLOID}
	},
	[SELECT_EVENT] = {
		INBOX_TABLE,
		/* time, payload to compare or NULL; the columns are EventColumn's */
		"SELECT state, token, attempt, received_at, COALESCE(payload" NE "$5,"
		" false), " IS_EXPIRED_AT("$4") " FROM %1$s WHERE " EVENT_IS,
		{EVENT_TYPES, TIMESTAMPTZOID, JSONBOID}
	},
	[SELECT_EVENTS] = {
		INBOX_TABLE,
		/* tenant, source, time, arrays of event_id and payload */
		"SELECT i.state, COALESCE(i.payload" NE "e.payload, false),"
		" i.state IS NULL OR " IS_EXPIRED_AT("$3") " FROM"
		" ROWS FROM (pg_catalog.unnest($4), pg_catalog.unnest($5))"
		" WITH ORDINALITY AS e (event_id, payload, number)"
		" LEFT JOIN LATERAL (SELECT * FROM %1$s WHERE tenant_id" EQ "$1"
		" AND source" EQ "$2 AND event_id" EQ "e.event_id LIMIT 1) AS i"
		" ON true ORDER BY e.number",
		{TEXTOID, TEXTOID, TIMESTAMPTZOID, TEXTARRAYOID, JSONBARRAYOID}
	},
	[DELETE_EXPIRED_EVENTS] = {
		INBOX_TABLE,
		/* tenant, source, array of event_id, time */
		"DELETE FROM %1$s WHERE " EACH_EVENT("$3", IS_EXPIRED_AT("$4")),
		{TEXTOID, TEXTOID, TEXTARRAYOID, TIMESTAMPTZOID}
	},
	[GIVE_TURNS] = {
		INBOX_TABLE,
		/* tenant, source, array of event_id, time */
		"UPDATE %1$s SET due_at = $4 WHERE "
		EACH_EVENT("$3", "due_at IS NULL AND state" EQ "'pending'"),
		{TEXTOID, TEXTOID, TEXTARRAYOID, TIMESTAMPTZOID}
	},
	[LIST_DUE] = {
		INBOX_TABLE,
		/* time, limit, offset; the columns are DueColumn's in due.c */
		LIST_TEXT(DUE, BY_TIME),
		{TIMESTAMPTZOID, INT8OID, INT8OID}
	},
	[LIST_DUE_OF_SOURCE] = {
		INBOX_TABLE,
		/* as LIST_DUE, then the source */
		LIST_TEXT(DUE_OF_SOURCE, BY_SOURCE),
		{TIMESTAMPTZOID, INT8OID, INT8OID, TEXTOID}
	},
	[LIST_DUE_OF_TENANT] = {
		INBOX_TABLE,
		/* as LIST_DUE, then the tenant */
		LIST_TEXT(DUE_OF_TENANT, BY_TENANT),
		{TIMESTAMPTZOID, INT8OID, INT8OID, TEXTOID}
	},
	[LIST_DUE_OF_BOTH] = {
		INBOX_TABLE,
		/* as LIST_DUE, then the tenant and the source */
		LIST_TEXT(DUE_OF_BOTH, BY_BOTH),
		{TIMESTAMPTZOID, INT8OID, INT8OID, TEXTOID, TEXTOID}
	},
	[TAKE_DUE] = {
		INBOX_TABLE,
		/* end of the list, limit, least token, lease end */
		TAKE_TEXT(DUE, BY_TIME, "$4", "NULL"),
		{TIMESTAMPTZOID, INT8OID, INT8OID, TIMESTAMPTZOID}
	},
	[TAKE_DUE_OF_SOURCE] = {
		INBOX_TABLE,
		/* as TAKE_DUE, with the source before the lease end */
		TAKE_TEXT(DUE_OF_SOURCE, BY_SOURCE, "$5", "NULL"),
		{TIMESTAMPTZOID, INT8OID, INT8OID, TEXTOID, TIMESTAMPTZOID}
	},
	[TAKE_DUE_OF_TENANT] = {
		INBOX_TABLE,
		/* as TAKE_DUE, with the tenant before the lease end */
		TAKE_TEXT(DUE_OF_TENANT, BY_TENANT, "$5", "$4"),
		{TIMESTAMPTZOID, INT8OID, INT8OID, TEXTOID, TIMESTAMPTZOID}
	},
	[TAKE_DUE_OF_BOTH] = {
		INBOX_TABLE,
		/* as TAKE_DUE, with the tenant and the source before the lease end */
		TAKE_TEXT(DUE_OF_BOTH, BY_BOTH, "$6", "$4"),
		{TIMESTAMPTZOID, INT8OID, INT8OID, TEXTOID, TEXTOID, TIMESTAMPTZOID}
	},
	[SELECT_HEAD] = {
		INBOX_TABLE,
		/*
		 * tenant, source, stream, time: the event that is in flight; else
		 * one whose lease has lapsed; else the first of those that wait
		 */
		"SELECT event_id, state, attempt, due_at" GT "$4 FROM ("
		"(SELECT event_id, state, attempt, due_at"
		" FROM %1$s WHERE " STREAM_IS("$1", "$2", "$3")
		" AND state" EQ "'processing'" STREAM_ORDER ") UNION ALL "
		"(SELECT event_id, state, attempt, due_at"
		" FROM %1$s WHERE " STREAM_IS("$1", "$2", "$3")
		" AND state" EQ "'pending'" STREAM_ORDER " LIMIT 1)) AS unfinished"
		" ORDER BY state" EQ "'processing' DESC, due_at" GT "$4 DESC LIMIT 1",
		{TEXTOID, TEXTOID, TEXTOID, TIMESTAMPTZOID}
	},
	[TAKE_EVENT] = {
		INBOX_TABLE,
		/* time, least token, lease end */
		"UPDATE %1$s AS event SET state = 'processing',"
		" token = GREATEST($5, token" PLUS "1), attempt = attempt" PLUS "1,"
		" due_at = $6 WHERE "
		IN_UNLOCKED("$1", EVENT_IS " AND (state" EQ "'pending'"
					" AND COALESCE(due_at" LE "$4, true)) IS TRUE")
		" RETURNING " EVENT_COLUMNS(IS_LATE),
		{EVENT_TYPES, TIMESTAMPTZOID, INT8OID, TIMESTAMPTZOID}
	},
	[RETURN_EVENT] = {
		INBOX_TABLE,
		/* time, last_error */
		"UPDATE %1$s SET state = 'pending', last_error = $5 WHERE "
		IN_UNLOCKED("$1", EVENT_IS " AND (state" EQ "'processing'"
					" AND due_at" LE "$4) IS TRUE"),
		{EVENT_TYPES, TIMESTAMPTZOID, TEXTOID}
	},
	[BURY_EVENT] = {
		INBOX_TABLE,
		/* as RETURN_EVENT, then the default ttl */
		"UPDATE %1$s SET state = 'dead', last_error = $5,"
		FINISH_AT("$4", "$6") " WHERE "
		IN_UNLOCKED("$1", EVENT_IS " AND (state" EQ "'processing'"
					" AND due_at" LE "$4) IS TRUE"),
		{EVENT_TYPES, TIMESTAMPTZOID, TEXTOID, INTERVALOID}
	},
	[REMOVE_TURNS] = {
		INBOX_TABLE,
		/*
		 * tenant, source, array of event_id, whether they are finished,
		 * their stream, whose first waiting event is left alone
		 */
		"UPDATE %1$s SET due_at = NULL WHERE "
		IN_UNLOCKED("$1", EACH_EVENT("$3", "state" NE "'processing'"
							   " AND (finished_at IS NOT NULL)" EQ "$4")
					" AND event_id" NE "COALESCE((SELECT event_id FROM %1$s"
					" WHERE " STREAM_IS("$1", "$2", "$5")
					" AND state" EQ "'pending'" STREAM_ORDER " LIMIT 1), '')"),
		{TEXTOID, TEXTOID, TEXTARRAYOID, BOOLOID, TEXTOID}
	},
	[COMPLETE_EVENT] = {
		INBOX_TABLE,
		/* default ttl */
		"UPDATE %1$s SET state = 'processed'," FINISH_AT("$5", "$6")
		" WHERE " EVENT_IS_HELD,
		{HELD_EVENT_TYPES, INTERVALOID}
	},
	[RETRY_EVENT] = {
		INBOX_TABLE,
		/* due_at, last_error */
		"UPDATE %1$s SET state = 'pending', due_at = $6,"
		" last_error = $7 WHERE " EVENT_IS_HELD,
		{HELD_EVENT_TYPES, TIMESTAMPTZOID, TEXTOID}
	},
	[END_EVENT] = {
		INBOX_TABLE,
		/* default ttl, last_error */
		"UPDATE %1$s SET state = 'dead', last_error = $7,"
		FINISH_AT("$5", "$6") " WHERE " EVENT_IS_HELD,
		{HELD_EVENT_TYPES, INTERVALOID, TEXTOID}
	},
	[REQUEUE_EVENT] = {
		INBOX_TABLE,
		/* time */
		"UPDATE %1$s SET " REQUEUE_AT("$4") " WHERE " EVENT_IS
		" AND (finished_at IS NOT NULL AND NOT " IS_EXPIRED_AT("$4") ") IS TRUE",
		{EVENT_TYPES, TIMESTAMPTZOID}
	},
	[REQUEUE_DEAD] = {
		INBOX_TABLE,
		/* time, limit or NULL, tenant or NULL, source or NULL */
		"UPDATE %1$s SET " REQUEUE_AT("$1") " WHERE "
		IN_UNLOCKED("$3", "state" EQ "'dead' AND NOT " IS_EXPIRED_AT("$1")
					" AND ($4 IS NULL OR source" EQ "$4)"
					" ORDER BY finished_at LIMIT $2"),
		{TIMESTAMPTZOID, INT8OID, TEXTOID, TEXTOID}
	},
	[SWEEP_EVENTS] = {
		INBOX_TABLE,
		/* now, tenant or NULL, limit */
		"DELETE FROM %1$s WHERE "
		IN_UNLOCKED("$2", "expires_at" LE "$1 AND due_at IS NULL"
					" ORDER BY expires_at LIMIT $3"),
		{TIMESTAMPTZOID, TEXTOID, INT8OID}
	},
	[LIST_TENANT_STREAMS] = {
		INBOX_TABLE,
		/* those that have a turn, see stream.h; by the index of DUE_OF_TENANT */
		"SELECT DISTINCT source, stream FROM (SELECT source, stream"
		" FROM %1$s WHERE tenant_id" EQ "ANY (ARRAY[$1])"
		" AND due_at IS NOT NULL AND (stream IS NULL) IS FALSE"
		BY_TENANT " OFFSET 0) AS turns ORDER BY source, stream",
		{TEXTOID}
	},
	[DELETE_TENANT_EVENTS] = {
		INBOX_TABLE,
		/* and list their streams that had a turn, and how many they were */
		"WITH deleted AS (DELETE FROM %1$s WHERE tenant_id" EQ "$1"
		" RETURNING source, CASE WHEN due_at IS NOT NULL THEN stream END"
		" AS stream) SELECT source, stream, pg_catalog.count(*)"
		" FROM deleted GROUP BY source, stream",
		{TEXTOID}
	},
	[SUMMARIZE_INBOX] = {
		INBOX_TABLE,
		/* now, tenant or NULL; the columns are in activity.c */
		"SELECT tenant_id, source,"
		" pg_catalog.count(*) FILTER (WHERE finished_at IS NULL),"
		" pg_catalog.min(due_at) FILTER (WHERE finished_at IS NULL"
		" AND due_at" LE "$1),"
		" pg_catalog.count(*) FILTER (WHERE state" EQ "'dead')"
		" FROM %1$s WHERE " IS_EXPIRED_AT("$1") " IS NOT TRUE"
		" AND ($2 IS NULL OR tenant_id" EQ "$2)"
		" GROUP BY tenant_id, source ORDER BY tenant_id, source",
		{TIMESTAMPTZOID, TEXTOID}
	},
};
