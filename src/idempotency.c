/*-------------------------------------------------------------------------
 *
 * idempotency.c
 *	  What the server does when it loads the module.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"
#include "lock.h"
#include "settings.h"
#include "stats.h"

PG_MODULE_MAGIC_EXT(.name = "idempotency", .version = IDEMPOTENCY_VERSION);

PGDLLEXPORT void _PG_init(void);

void
_PG_init(void)
{
	define_settings();
	init_locks();
	init_stats();
}
