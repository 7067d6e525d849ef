/*-------------------------------------------------------------------------
 *
 * lapsed.c
 *	  Events whose lease has lapsed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/builtins.h"

#include "finish.h"
#include "lapsed.h"
#include "lock.h"
#include "plans.h"
#include "settings.h"

/* What the last_error of such an event says. */
static text *
lapsed_error(int attempt)
{
	return cstring_to_text(psprintf("the lease of attempt %d lapsed: the worker died, or took too long",
									attempt));
}

/*
 * Locks an event, if the transaction may lock more.  Its old worker may come
 * back, and has to wait until it is certain whether he is too late.  False if
 * somebody else has the lock.
 */
static bool
try_lock_lapsed(const EventId *id, bool *locked)
{
	LOCKTAG		tag = work_lock_tag(id);
	bool		may_lock = may_lock_more();

	*locked = may_lock && try_lock(&tag, ExclusiveLock);
	return *locked || !may_lock;
}

/* Gives the lock back, where it was taken. */
static void
unlock_lapsed(const EventId *id, bool locked)
{
	LOCKTAG		tag = work_lock_tag(id);

	if (locked)
		drop_lock(&tag, ExclusiveLock);
}

/* Has an event wait again. */
static bool
return_event(const Fetch *fetch, const EventId *id, int attempt)
{
	Parameters	parameters = {0};
	bool		locked;

	if (!try_lock_lapsed(id, &locked))
		return false;
	add_event(&parameters, id);
	add_time(&parameters, fetch->clock.now);
	add_pointer(&parameters, lapsed_error(attempt));
	if (run_statement(fetch->extension, RETURN_EVENT, &parameters,
					  NULL, NULL) > 0)
		return true;
	unlock_lapsed(id, locked);
	return false;
}

/* Declares an event dead. */
static bool
bury_event(const Fetch *fetch, const EventId *id, int attempt)
{
	Parameters	parameters = {0};
	bool		locked;

	if (!try_lock_lapsed(id, &locked))
		return false;
	add_event(&parameters, id);
	add_time(&parameters, fetch->clock.now);
	add_default_ttl(&parameters, fetch->clock.now);
	add_pointer(&parameters, lapsed_error(attempt));
	if (run_statement(fetch->extension, BURY_EVENT, &parameters,
					  NULL, NULL) > 0)
		return true;
	unlock_lapsed(id, locked);
	return false;
}

LapsedFate
settle_lapsed(const Fetch *fetch, const EventId *id, int attempt)
{
	if (attempt >= webhook_max_attempts)
		return bury_event(fetch, id, attempt) ? LAPSED_BURIED : LAPSED_HELD;
	return return_event(fetch, id, attempt) ? LAPSED_RETURNED : LAPSED_HELD;
}
