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
#include "stats.h"

/* What the last_error of such an event says. */
static text *
lapsed_error(int attempt)
{
	return cstring_to_text(psprintf("the lease of attempt %d lapsed: the worker died, or took too long",
									attempt));
}

/*
 * The event is locked, if the transaction may lock more.  Its old worker may
 * come back, and has to wait until it is certain whether he is too late.
 */
LapsedFate
settle_lapsed(const Fetch *fetch, const EventId *id, int attempt)
{
	LOCKTAG		tag = work_lock_tag(id);
	bool		lockable = may_lock_event();
	bool		is_last = attempt >= webhook_max_attempts;
	Parameters	parameters = {0};

	if (lockable && !try_lock(&tag, ExclusiveLock))
		return LAPSED_HELD;

	add_event(&parameters, id);
	add_time(&parameters, fetch->clock.now);
	add_pointer(&parameters, lapsed_error(attempt));
	if (is_last)
		add_default_ttl(&parameters, fetch->clock.now);
	if (run_statement(fetch->extension, is_last ? BURY_EVENT : RETURN_EVENT,
					  &parameters, NULL, NULL) > 0)
	{
		add_to_stats(is_last ? COUNT_DEAD : COUNT_RETRIED, 1);
		return is_last ? LAPSED_BURIED : LAPSED_RETURNED;
	}

	if (lockable)
		drop_lock(&tag, ExclusiveLock);
	return LAPSED_HELD;
}
