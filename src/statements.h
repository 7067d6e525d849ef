/*-------------------------------------------------------------------------
 *
 * statements.h
 *	  Every SQL statement that C code runs on the extension's tables.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEMPOTENCY_STATEMENTS_H
#define IDEMPOTENCY_STATEMENTS_H

#include "extension.h"

/* The parameters of each are listed beside its text in statements.c. */
typedef enum StatementId
{
	/* on idempotency_keys */
	INSERT_KEY,
	SELECT_KEY,
	SELECT_KEY_STABLE,
	RECLAIM_KEY,
	RESUME_KEY,
	COMPLETE_KEY,
	RELEASE_KEY,
	CHECKPOINT_KEY,
	HEARTBEAT_KEY,
	DELETE_KEY,
	LIST_ABANDONED,
	RESUME_ABANDONED,
	LIST_EXPIRED_KEYS,
	EMPTY_EXPIRED_KEYS,
	DELETE_EXPIRED_KEYS,
	DELETE_TENANT_KEYS,
	SUMMARIZE_KEYS,

	/* on webhook_inbox */
	INSERT_EVENT,
	INSERT_STREAM_EVENT,
	INSERT_EVENTS,
	SELECT_EVENT,
	SELECT_EVENTS,
	DELETE_EXPIRED_EVENTS,
	GIVE_TURNS,
	LIST_DUE,
	LIST_DUE_OF_SOURCE,
	LIST_DUE_OF_TENANT,
	LIST_DUE_OF_BOTH,
	TAKE_DUE,
	TAKE_DUE_OF_SOURCE,
	TAKE_DUE_OF_TENANT,
	TAKE_DUE_OF_BOTH,
	SELECT_HEAD,
	TAKE_EVENT,
	RETURN_EVENT,
	BURY_EVENT,
	REMOVE_TURNS,
	COMPLETE_EVENT,
	RETRY_EVENT,
	END_EVENT,
	REQUEUE_EVENT,
	REQUEUE_DEAD,
	SWEEP_EVENTS,
	LIST_TENANT_STREAMS,
	DELETE_TENANT_EVENTS,
	SUMMARIZE_INBOX,
	NUM_STATEMENTS
} StatementId;

#define MAX_PARAMETERS 15

typedef struct Statement
{
	TableId		table_id;
	const char *text;			/* %1$s is the qualified name of the table */
	Oid			types[MAX_PARAMETERS + 1];	/* of the parameters, then 0 */
} Statement;

extern const Statement statements[NUM_STATEMENTS];

#endif							/* IDEMPOTENCY_STATEMENTS_H */
