/*-------------------------------------------------------------------------
 *
 * duration.c
 *	  The clock, and lengths of time in microseconds.
 *
 * A length of time here is a fixed number of microseconds: a day is 24 hours,
 * a month 30 days and a year 365.25, as EXTRACT(EPOCH FROM interval) counts.
 * Calendar arithmetic would make a lease depend on the session's time zone.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/int.h"
#include "utils/datetime.h"

#include "compat.h"
#include "duration.h"
#include "settings.h"

/*
 * Reads the clock.  Every time the extension compares or stores is read here;
 * not so the deadline of a wait, which no offset may move.
 *
 * The token leaves the offset out: tokens must grow even when a session that
 * looked at tomorrow is followed by one that does not.
 */
Clock
read_clock(void)
{
	TimestampTz real = GetCurrentTimestamp();
	Clock		clock;

	clock.now = time_after(real, clock_offset, "idempotency.clock_offset");
	clock.token = real +
		(POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY;
	return clock;
}

/*
 * Decodes the forms the interval type accepts, without raising: settings are
 * checked where an error would stop the server from starting.
 */
static bool
parse_interval(const char *string, Interval *interval)
{
	struct pg_itm_in itm = {0};
	char		buffer[MAXDATELEN + 1];
	char		copy[MAXDATELEN + 1];
	char	   *field[MAXDATEFIELDS];
	int			ftype[MAXDATEFIELDS];
	int			nfields;
	int			dtype;
	int			error;

	if (strlcpy(copy, string, sizeof(copy)) >= sizeof(copy))
		return false;

	error = ParseDateTime(copy, buffer, sizeof(buffer), field, ftype,
						  MAXDATEFIELDS, &nfields);
	if (error == 0)
		error = DecodeInterval(field, ftype, nfields, INTERVAL_FULL_RANGE,
							   &dtype, &itm);
	if (error == DTERR_BAD_FORMAT)
		error = DecodeISO8601Interval(copy, &dtype, &itm);

	return error == 0 && dtype == DTK_DELTA &&
		itmin2interval(&itm, interval) == 0;
}

bool
parse_duration(const char *string, int64 unit, int64 *duration)
{
	Interval	interval;
	char	   *end;
	int64		number;

	errno = 0;
	number = strtoi64(string, &end, 10);
	if (end != string && *end == '\0')
		return errno == 0 && !pg_mul_s64_overflow(number, unit, duration);

	return parse_interval(string, &interval) &&
		interval_duration(&interval, duration);
}

bool
interval_duration(const Interval *interval, int64 *duration)
{
	int64		years = interval->month / MONTHS_PER_YEAR;
	int64		months = interval->month % MONTHS_PER_YEAR;
	int64		days = months * DAYS_PER_MONTH + interval->day;
	int64		seconds = years * SECS_PER_YEAR + days * SECS_PER_DAY;
	int64		usecs;

	return !INTERVAL_NOT_FINITE(interval) &&
		!pg_mul_s64_overflow(seconds, USECS_PER_SEC, &usecs) &&
		!pg_add_s64_overflow(usecs, interval->time, duration);
}

TimestampTz
time_after(TimestampTz base, int64 duration, const char *argument)
{
	TimestampTz result;

	if (pg_add_s64_overflow(base, duration, &result) ||
		!IS_VALID_TIMESTAMP(result))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s is too long", argument),
				 errdetail("The time it leads to can't be stored in a timestamp."),
				 errhint("Use a shorter duration.")));
	return result;
}
