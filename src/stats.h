/*-------------------------------------------------------------------------
 *
 * stats.h
 *	  Counting what the functions have answered.
 *
 * There is a set of counters for each database, in shared memory.  They count
 * calls as they are answered, also in transactions that are rolled back later,
 * and begin at zero when the server starts.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEMPOTENCY_STATS_H
#define IDEMPOTENCY_STATS_H

/* In the order of the columns of idempotency_stats. */
typedef enum Counter
{
	COUNT_CLAIMED,
	COUNT_RESUMED,
	COUNT_REPLAYED,
	COUNT_IN_PROGRESS,
	COUNT_MISMATCH,
	COUNT_GONE,
	COUNT_COMPLETED,
	COUNT_RELEASED,
	COUNT_CLAIM_LOST,
	COUNT_RECORDED,
	COUNT_DUPLICATE,
	COUNT_FETCHED,
	COUNT_RETRIED,
	COUNT_DEAD,
	COUNT_SWEPT,
	NUM_COUNTERS
} Counter;

/* Adds to a counter of the current database, if there is one. */
extern void add_to_stats(Counter counter, uint64 number);

/* Asks for shared memory, when the server loads the module as it starts. */
extern void init_stats(void);

#endif							/* IDEMPOTENCY_STATS_H */
