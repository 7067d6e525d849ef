/*-------------------------------------------------------------------------
 *
 * errors.h
 *	  The SQLSTATEs of this extension.
 *
 * Class IK belongs to the extension; the table of errors in docs/reference.md
 * says what an HTTP service answers for each.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEMPOTENCY_ERRORS_H
#define IDEMPOTENCY_ERRORS_H

#include "utils/elog.h"

/* the key is NULL or empty */
#define ERRCODE_KEY_MISSING MAKE_SQLSTATE('I', 'K', '0', '0', '1')

/* the key has a length, a format or a character that is not allowed */
#define ERRCODE_KEY_INVALID MAKE_SQLSTATE('I', 'K', '0', '0', '2')

/* a tenant, scope or other name is missing, too long or has such characters */
#define ERRCODE_NAME_INVALID MAKE_SQLSTATE('I', 'K', '0', '0', '3')

/* the token is no longer that of the claim, or of the event */
#define ERRCODE_TOKEN_OUTDATED MAKE_SQLSTATE('I', 'K', '0', '0', '4')

/* there is no such key, or no such event */
#define ERRCODE_KEY_NOT_FOUND MAKE_SQLSTATE('I', 'K', '0', '0', '5')

#endif							/* IDEMPOTENCY_ERRORS_H */
