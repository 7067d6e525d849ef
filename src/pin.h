/*-------------------------------------------------------------------------
 *
 * pin.h
 *	  The tenant that a role is pinned to.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEMPOTENCY_PIN_H
#define IDEMPOTENCY_PIN_H

/* Returns the only tenant that the current code may name, or "" for any. */
extern const char *tenant_pin(void);

/*
 * Refuses to load the module, an ERROR, where a client has set the pin, or
 * another setting that is not his, in his connection's options.
 */
extern void check_client_options(void);

#endif							/* IDEMPOTENCY_PIN_H */
