/*-------------------------------------------------------------------------
 *
 * lock.c
 *	  Locks on keys, events and streams, held until the transaction ends.
 *
 * They are heavyweight locks, so they show in pg_locks, take part in deadlock
 * detection, obey lock_timeout, follow a savepoint's rollback and stay with a
 * prepared transaction.
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
#include "lock.h"

/*
 * What is locked: the last field of the lock's tag (objsubid in pg_locks).
 * PostgreSQL's own advisory locks have 1 or 2 there, so they can't meet ours.
 */
typedef enum LockClass
{
	KEY_LOCK = 0x1DE0,
	RECORD_LOCK,
	WORK_LOCK,
	STREAM_LOCK
} LockClass;

/*
 * How many locks a transaction takes: a few times its share of the lock table,
 * as a table of the default size has room for more than ten such transactions.
 */
#define MAX_OPTIONAL_LOCKS (8 * max_locks_per_xact)

/* how deep in savepoints they are counted exactly */
#define MOST_LEVELS 32

/* how many were taken, and in which transaction */
static int	lock_count;
static LocalTransactionId lock_transaction;

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
 * nobody can make up a name elsewhere that collides with another tenant's.
 */
static LOCKTAG
lock_tag(LockClass class, const text *a, const text *b, const text *c)
{
	char	   *buffer = palloc(VARSIZE_ANY_EXHDR(a) + VARSIZE_ANY_EXHDR(b) +
								VARSIZE_ANY_EXHDR(c) + 3);
	char	   *end = buffer;
	uint64		hash;
	LOCKTAG		tag;

	end = append_text(end, a);
	end = append_text(end, b);
	end = append_text(end, c);
	hash = hash_bytes_extended((unsigned char *) buffer, end - buffer,
							   GetSystemIdentifier());
	pfree(buffer);

	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, (uint32) (hash >> 32),
						 (uint32) hash, class);
	return tag;
}

LOCKTAG
key_lock_tag(const KeyId *id)
{
	return lock_tag(KEY_LOCK, id->tenant, id->scope, id->key);
}

LOCKTAG
record_lock_tag(const EventId *id)
{
	return lock_tag(RECORD_LOCK, id->tenant, id->source, id->event_id);
}

LOCKTAG
work_lock_tag(const EventId *id)
{
	return lock_tag(WORK_LOCK, id->tenant, id->source, id->event_id);
}

LOCKTAG
stream_lock_tag(const StreamId *id)
{
	return lock_tag(STREAM_LOCK, id->tenant, id->source, id->stream);
}

/* Returns how many locks this transaction has taken. */
static int
count_locks(void)
{
	if (lock_transaction != MyProc->MY_LXID)
	{
		lock_transaction = MyProc->MY_LXID;
		lock_count = 0;
	}
	return lock_count;
}

/*
 * A savepoint's locks go when it is rolled back, and so do they from the
 * count.  Those of very deep ones stay counted, which does no harm.
 */
static void
restore_count(SubXactEvent event, SubTransactionId subtransaction,
			  SubTransactionId parent, void *arg)
{
	static int	counts[MOST_LEVELS];
	int			level = GetCurrentTransactionNestLevel();

	if (level >= MOST_LEVELS)
		return;
	if (event == SUBXACT_EVENT_START_SUB)
		counts[level] = count_locks();
	else if (event == SUBXACT_EVENT_ABORT_SUB)
		lock_count = Min(count_locks(), counts[level]);
}

void
init_locks(void)
{
	RegisterSubXactCallback(restore_count, NULL);
}

bool
may_lock_more(void)
{
	return count_locks() < MAX_OPTIONAL_LOCKS;
}

bool
may_lock_event(void)
{
	return count_locks() < MAX_OPTIONAL_LOCKS / 2;
}

/*
 * Takes a lock for the current (sub)transaction, since its end is what makes
 * the row another's to write.
 *
 * A statement's locks are otherwise its portal's: a cursor that was declared
 * before a savepoint, or fails after one, has an end of its own.
 */
static bool
acquire_lock(const LOCKTAG *tag, LOCKMODE mode, bool dont_wait)
{
	ResourceOwner saved_owner = CurrentResourceOwner;
	LockAcquireResult result;

	CurrentResourceOwner = CurTransactionResourceOwner;
	result = LockAcquire(tag, mode, false, dont_wait);
	CurrentResourceOwner = saved_owner;
	if (result == LOCKACQUIRE_OK)
		lock_count = count_locks() + 1;
	return result != LOCKACQUIRE_NOT_AVAIL;
}

bool
try_lock(const LOCKTAG *tag, LOCKMODE mode)
{
	return acquire_lock(tag, mode, true);
}

/* Tells whether to take a lock, or whether that is one lock no more. */
static bool
may_lock(const LOCKTAG *tag, LOCKMODE mode)
{
	return may_lock_more() || LockHeldByMe(tag, mode, false);
}

bool
try_optional_lock(const LOCKTAG *tag, LOCKMODE mode)
{
	return may_lock(tag, mode) && try_lock(tag, mode);
}

bool
take_optional_lock(const LOCKTAG *tag, LOCKMODE mode)
{
	if (!may_lock(tag, mode))
		return false;
	take_lock(tag, mode);
	return true;
}

bool
take_event_lock(const LOCKTAG *tag, LOCKMODE mode)
{
	if (!may_lock_event())
		return false;
	take_lock(tag, mode);
	return true;
}

void
take_lock(const LOCKTAG *tag, LOCKMODE mode)
{
	(void) acquire_lock(tag, mode, false);
}

bool
holds_lock(const LOCKTAG *tag)
{
	return LockHeldByMe(tag, ExclusiveLock, false);
}

void
drop_lock(const LOCKTAG *tag, LOCKMODE mode)
{
	ResourceOwner saved_owner = CurrentResourceOwner;

	CurrentResourceOwner = CurTransactionResourceOwner;
	(void) LockRelease(tag, mode, false);
	CurrentResourceOwner = saved_owner;
	if (!LockHeldByMe(tag, mode, false))
		lock_count--;
}

void
drop_surplus_lock(const LOCKTAG *tag, LOCKMODE mode)
{
	if (count_locks() > MAX_OPTIONAL_LOCKS)
		drop_lock(tag, mode);
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
wait_for_lock(const LOCKTAG *tag, int milliseconds)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	int			saved_timeout = LockTimeout;
	bool		statement_timeout = get_timeout_active(STATEMENT_TIMEOUT);

	Assert(milliseconds > 0);	/* 0 would be for ever */
	if (saved_timeout > 0 && saved_timeout <= milliseconds)
	{
		take_lock(tag, ExclusiveLock);
		return true;
	}

	BeginInternalSubTransaction(NULL);
	PG_TRY();
	{
		LockTimeout = milliseconds;
		take_lock(tag, ExclusiveLock);
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
	return holds_lock(tag);
}
