/*-------------------------------------------------------------------------
 *
 * handler.h
 *	  Functions of the caller's that do the work.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEMPOTENCY_HANDLER_H
#define IDEMPOTENCY_HANDLER_H

#include "compat.h"

/* The handler, not NULL. */
extern Oid	handler_argument(FunctionCallInfo fcinfo, int n,
							 const char *signature);

/*
 * Checks that a handler is a plain function of one argument of this type, and
 * that the caller may execute it.  The signature is for the error message.
 */
extern void check_handler(Oid handler, Oid argument, const char *signature);

/* Raises 22023. */
pg_noreturn extern void report_bad_handler(const char *problem,
										   const char *signature);

/*
 * Runs a handler as the caller, outside any SPI connection and with the
 * caller's search_path, just as the caller's own SELECT would.  False if it
 * returned NULL, or is STRICT and was not called for a NULL argument.
 */
extern bool call_handler(Oid handler, Datum argument, bool isnull,
						 Datum *result);

#endif							/* IDEMPOTENCY_HANDLER_H */
