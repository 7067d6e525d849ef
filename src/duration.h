/*-------------------------------------------------------------------------
 *
 * duration.h
 *	  The clock, and lengths of time in microseconds.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEMPOTENCY_DURATION_H
#define IDEMPOTENCY_DURATION_H

#include "utils/timestamp.h"

/* One reading of the server's clock. */
typedef struct Clock
{
	TimestampTz now;			/* with idempotency.clock_offset added */
	int64		token;			/* wall-clock microseconds since 1970 */
} Clock;

extern Clock read_clock(void);

/*
 * Parses "30min", "1 day 2 hours", "P1D" or a bare number, which counts in
 * unit (microseconds).  False if the string is no finite length of time.
 */
extern bool parse_duration(const char *string, int64 unit, int64 *duration);

/* Length of an interval; false if infinite or beyond 64 bits. */
extern bool interval_duration(const Interval *interval, int64 *duration);

/*
 * The time that comes duration after base.  An ERROR (22023) that names the
 * argument if timestamptz can't hold it.
 */
extern TimestampTz time_after(TimestampTz base, int64 duration,
							  const char *argument);

#endif							/* IDEMPOTENCY_DURATION_H */
