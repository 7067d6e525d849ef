/*-------------------------------------------------------------------------
 *
 * key_lock.c
 *	  The lock that whoever writes a key's row holds until the transaction
 *	  ends.
 *
 * It is a heavyweight lock, so it shows in pg_locks, takes part in deadlock
 * detection, obeys lock_timeout, follows a savepoint's rollback and stays
 * with a prepared transaction.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "storage/proc.h"
#include "utils/resowner.h"
#include "utils/timeout.h"

#include "compat.h"
#include "key_lock.h"

/*
 * The last field of the lock's tag (objsubid in pg_locks).  PostgreSQL's own
 * advisory locks have 1 or 2 there, so they can't meet ours.
 */
#define KEY_LOCK_CLASS 0x1DE0

/* Appends a string and a zero byte, which no text can contain. */
static char *
append_text(char *end, const text *string)
{
	size_t		length = VARSIZE_ANY_EXHDR(string);

	memcpy(end, VARDATA_ANY(string), length);
	end[length] = '\0';
	return end + length + 1;
}

/*
 * The hash is seeded with what is particular to this installation, so that
 * nobody can make up a key elsewhere that collides with another tenant's.
 */
LOCKTAG
key_lock_tag(const KeyId *id)
{
	char	   *buffer = palloc(VARSIZE_ANY_EXHDR(id->tenant) +
								VARSIZE_ANY_EXHDR(id->scope) +
								VARSIZE_ANY_EXHDR(id->key) + 3);
	char	   *end = buffer;
	uint64		hash;
	LOCKTAG		tag;

	end = append_text(end, id->tenant);
	end = append_text(end, id->scope);
	end = append_text(end, id->key);
	hash = hash_bytes_extended((unsigned char *) buffer, end - buffer,
							   GetSystemIdentifier());
	pfree(buffer);

	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, (uint32) (hash >> 32),
						 (uint32) hash, KEY_LOCK_CLASS);
	return tag;
}

/*
 * Takes the lock for the current (sub)transaction, since its end is what
 * makes the row another's to write.
 *
 * A statement's locks are otherwise its portal's: a cursor that was declared
 * before a savepoint, or fails after one, has an end of its own.
 */
static bool
acquire_key_lock(const LOCKTAG *tag, bool dont_wait)
{
	ResourceOwner saved_owner = CurrentResourceOwner;
	LockAcquireResult result;

	CurrentResourceOwner = CurTransactionResourceOwner;
	result = LockAcquire(tag, ExclusiveLock, false, dont_wait);
	CurrentResourceOwner = saved_owner;
	return result != LOCKACQUIRE_NOT_AVAIL;
}

bool
try_key_lock(const LOCKTAG *tag)
{
	return acquire_key_lock(tag, true);
}

void
take_key_lock(const LOCKTAG *tag)
{
	(void) acquire_key_lock(tag, false);
}

bool
holds_key_lock(const LOCKTAG *tag)
{
	return LockHeldByMe(tag, ExclusiveLock, false);
}

void
drop_key_lock(const LOCKTAG *tag)
{
	ResourceOwner saved_owner = CurrentResourceOwner;

	CurrentResourceOwner = CurTransactionResourceOwner;
	(void) LockRelease(tag, ExclusiveLock, false);
	CurrentResourceOwner = saved_owner;
}

/*
 * Says what the server would have said, had the statement's timeout not
 * struck together with the wait's: it reports only one of two.
 */
static void
report_lost_timeout(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_QUERY_CANCELED),
			 errmsg("canceling statement due to statement timeout")));
}

/*
 * Waits in a subtransaction, under a lock_timeout of our own.
 *
 * The server ends a lock wait in time only by an error.  The subtransaction
 * turns that one error into an answer and cleans up behind it; any other
 * error, such as a deadlock or a cancel, goes on to the caller.  Where the
 * caller's lock_timeout comes first, it is the caller's error and there is
 * nothing to catch.
 *
 * A lock that was granted just as the timeout struck goes with the
 * subtransaction.
 */
bool
wait_for_key_lock(const LOCKTAG *tag, int milliseconds)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	int			saved_timeout = LockTimeout;
	bool		statement_timeout = get_timeout_active(STATEMENT_TIMEOUT);

	Assert(milliseconds > 0);	/* 0 would be for ever */
	if (saved_timeout > 0 && saved_timeout <= milliseconds)
	{
		take_key_lock(tag);
		return true;
	}

	BeginInternalSubTransaction(NULL);
	PG_TRY();
	{
		LockTimeout = milliseconds;
		take_key_lock(tag);
		CHECK_FOR_INTERRUPTS();
		LockTimeout = saved_timeout;
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData  *error;

		LockTimeout = saved_timeout;
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();

		if (error->sqlerrcode != ERRCODE_LOCK_NOT_AVAILABLE)
			ReThrowError(error);
		if (statement_timeout && !get_timeout_active(STATEMENT_TIMEOUT))
			report_lost_timeout();
		FreeErrorData(error);
	}
	PG_END_TRY();

	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return holds_key_lock(tag);
}
