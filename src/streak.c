/*-------------------------------------------------------------------------
 *
 * streak.c
 *	  Guessing that a key or event is known already, as those before it were.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"

#include "streak.h"

/* so many known ones in a row make a streak */
#define STREAK_LENGTH 2

/*
 * Under SERIALIZABLE what was looked for conflicts with what others insert
 * nearby, so it isn't done there.
 */
bool
is_streak(Streak known)
{
	return known >= STREAK_LENGTH && !IsolationIsSerializable();
}

void
note_in_streak(Streak *known, bool is_known)
{
	*known = is_known ? Min(*known + 1, STREAK_LENGTH) : 0;
}
