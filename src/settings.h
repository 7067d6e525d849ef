/*-------------------------------------------------------------------------
 *
 * settings.h
 *	  The idempotency.* settings.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEMPOTENCY_SETTINGS_H
#define IDEMPOTENCY_SETTINGS_H

#include "outcome.h"

/* HTTP status codes */
#define MIN_STATUS 100
#define MAX_STATUS 599

/* characters of a key; 255 four-byte ones still fit into an index entry */
#define MIN_KEY_LENGTH 1
#define MAX_KEY_LENGTH 255

typedef enum KeyFormat
{
	KEY_FORMAT_ANY,
	KEY_FORMAT_UUID,
} KeyFormat;

/* lengths of time, in microseconds */
extern int64 clock_offset;
extern int64 default_lease;
extern int64 success_ttl;
extern int64 client_error_ttl;
extern int64 tombstone_ttl;
extern int64 default_wait;
extern int64 webhook_ttl;
extern int64 webhook_lease;
extern int64 webhook_backoff_base;
extern int64 webhook_backoff_max;

extern bool default_keep_request;
extern int	key_format;
extern int	key_min_length;
extern int	key_max_length;
extern char *pinned_tenant;
extern int	webhook_max_attempts;
extern bool webhook_notify;

/* True if a response of this status must stay retryable. */
extern bool is_retryable_status(int status);

/* True if the response header of this name must not be stored. */
extern bool is_redacted_header(const char *name, int length);

/* True if this outcome is to be written to the server's log. */
extern bool is_logged_outcome(Outcome outcome);

extern void define_settings(void);

#endif							/* IDEMPOTENCY_SETTINGS_H */
