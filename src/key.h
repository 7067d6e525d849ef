/*-------------------------------------------------------------------------
 *
 * key.h
 *	  A key: its identity, its row, and the state machine.
 *
 * The row is the state; there is no other.  A key is
 *
 *		absent		no row, or one whose expires_at has passed, or a tombstone
 *		in progress	lease_expires_at is set
 *		released	neither lease_expires_at nor completed_at is set
 *		completed	completed_at is set
 *
 * and moves like this:
 *
 *		          claim: claimed               complete
 *		 absent ------------------> in progress -------------> completed
 *		   ^                        |    ^    ^ |                  |
 *		   |    release, or         |    |    | | checkpoint,      |
 *		   |    complete with       |    |    +-+ heartbeat, or    |
 *		   |    a retryable         v    |        the lease lapses |
 *		   |    status           released|        and claim:       |
 *		   |                        |    |        resumed          |
 *		   |                        +----+                         |
 *		   |                     claim: resumed                    |
 *		   +-------------------------------------------------------+
 *		        expires_at passes, in whatever state; or forget
 *
 * Where idempotency.tombstone_ttl is set, the sweep leaves a tombstone first: a
 * row without contents, whose completed_at is the time the key expired, and
 * whose expires_at is the time the tombstone goes.  Only a tombstone has
 * completed_at, but no response_status.
 *
 * Each claim that gives the key to somebody raises the token.  Only the
 * holder of the current token moves the key on, but for forget; time moves
 * it only where the picture says "lapses" and "passes".
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEMPOTENCY_KEY_H
#define IDEMPOTENCY_KEY_H

#include "compat.h"
#include "duration.h"
#include "extension.h"

/* What names a key.  All three have been checked. */
typedef struct KeyId
{
	text	   *tenant;
	text	   *scope;
	text	   *key;
} KeyId;

/* The columns of SELECT_KEY, in its order. */
typedef enum KeyColumn
{
	KEY_CREATED_AT,
	KEY_EXPIRES_AT,
	KEY_LEASE_EXPIRES_AT,
	KEY_COMPLETED_AT,
	KEY_TOKEN,
	KEY_ATTEMPT,
	KEY_RESPONSE_STATUS,
	KEY_TENANT_ID,
	KEY_SCOPE,
	KEY_KEY,
	KEY_REQUEST_HASH,
	KEY_REQUEST,
	KEY_RECOVERY_POINT,
	KEY_RECOVERY_DATA,
	KEY_RESPONSE_HEADERS,
	KEY_RESPONSE_BODY,
	KEY_RESPONSE_BYTES,
	NUM_KEY_COLUMNS
} KeyColumn;

typedef struct KeyRow
{
	Datum		values[NUM_KEY_COLUMNS];
	bool		isnull[NUM_KEY_COLUMNS];
} KeyRow;

typedef enum KeyState
{
	KEY_ABSENT,
	KEY_IN_PROGRESS,
	KEY_LAPSED,					/* in progress, but the lease is over */
	KEY_RELEASED,
	KEY_COMPLETED,
} KeyState;

/* Reads a key's row on the latest committed state; false if there is none. */
extern bool read_key(const Extension *extension, const KeyId *id, KeyRow *row);

/* Reads it under the calling query's snapshot instead. */
extern bool read_key_stable(const Extension *extension, const KeyId *id,
							KeyRow *row);

/* The state of an existing row at a given time. */
extern KeyState key_state(const KeyRow *row, TimestampTz now);

/* When an existing row stops, or stopped, to count. */
extern TimestampTz key_expiry(const KeyRow *row);

/* The name of a state, as idempotency_lookup shows it. */
extern const char *key_state_name(KeyState state);

extern int64 key_token(const KeyRow *row);
extern int32 key_attempt(const KeyRow *row);
extern TimestampTz key_time(const KeyRow *row, KeyColumn column);

/*
 * Says why the holder of this token may not change the key: an ERROR, IK005
 * if there is no such key (row is NULL) and IK004 otherwise.
 */
pg_noreturn extern void report_refused_token(const KeyRow *row, int64 token,
											 TimestampTz now);

#endif							/* IDEMPOTENCY_KEY_H */
