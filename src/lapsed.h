/*-------------------------------------------------------------------------
 *
 * lapsed.h
 *	  Events whose lease has lapsed.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEMPOTENCY_LAPSED_H
#define IDEMPOTENCY_LAPSED_H

#include "due.h"

/* What becomes of an event whose lease has lapsed. */
typedef enum LapsedFate
{
	LAPSED_HELD,				/* nothing: its worker is about to finish it */
	LAPSED_RETURNED,			/* it waits again */
	LAPSED_BURIED				/* it is dead */
} LapsedFate;

/*
 * Takes an event back from its worker, whose token holds nothing from then
 * on, or declares it dead if that was its last attempt.
 */
extern LapsedFate settle_lapsed(const Fetch *fetch, const EventId *id,
								int attempt);

#endif							/* IDEMPOTENCY_LAPSED_H */
