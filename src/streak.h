/*-------------------------------------------------------------------------
 *
 * streak.h
 *	  Guessing that a key or event is known already, as those before it were.
 *
 * What is new, as most is, is inserted first and looked at only if it was not
 * new.  When clients retry in masses, it is the other way round that saves a
 * statement.  Like a plan, the guess decides what a call costs, and nothing
 * else: it need not be right, and is not part of any state.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEMPOTENCY_STREAK_H
#define IDEMPOTENCY_STREAK_H

/* How many in a row were known, in this session. */
typedef int Streak;

/* Tells whether to look for the next one before it is inserted. */
extern bool is_streak(Streak known);

/* Notes whether one was known. */
extern void note_in_streak(Streak *known, bool is_known);

#endif							/* IDEMPOTENCY_STREAK_H */
