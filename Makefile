# The commands that people run first must work before PostgreSQL is there;
# they live in tools/.  Everything else is PGXS.

EXTENSION = idempotency
EXTVERSION := $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" $(EXTENSION).control)

COMMANDS = deps demo reference check check-citus check-examples check-versions check-packages \
	dist freeze bench bench-growth bench-instructions bench-sweep

ifneq ($(filter $(COMMANDS),$(MAKECMDGOALS)),)

.PHONY: $(COMMANDS)

deps:
	@tools/deps

check check-citus: deps
	@tools/$@

check-examples:
	@tools/deps examples
	@tools/deps bench
	@tools/$@

demo reference bench-sweep:
	@tools/deps server
	@tools/$@

bench:
	@tools/deps bench
	@tools/$@

bench-growth:
	@tools/deps bench
	@PLOT= ROWS=keys KEYS="10000 100000 1000000 10000000" tools/bench

bench-instructions:
	@tools/deps server
	@tools/deps valgrind
	@tools/$@

check-versions check-packages dist freeze:
	@tools/$@

else

MODULE_big = $(EXTENSION)
OBJS = $(patsubst %.c,%.o,$(wildcard src/*.c))
DATA = $(wildcard sql/$(EXTENSION)--*.sql)

PG_CPPFLAGS = -DIDEMPOTENCY_VERSION='"$(EXTVERSION)"'
PG_CFLAGS = -Wall -Wextra -Wno-unused-parameter -Wno-missing-field-initializers -fvisibility=hidden

# Named one by one: an empty wildcard would pass.
REGRESS = claim complete lease expiry mismatch release token execute lookup \
	abandoned forget request_hash request_hash_properties derive_key errors \
	settings tenant privileges trust savepoints two_phase search_path lifecycle \
	extremes encoding sweep forget_tenant grant activity \
	record batch fetch stream finish requeue process inbox_errors \
	streak inbox_streak compression lock_tags stored_rows plans
REGRESS_OPTS = --inputdir=test --load-extension=$(EXTENSION)

ISOLATION = holder wait takeover sweeping forgetting many_locks snapshot deadlock independent workers rename \
	inbox_record inbox_fetch inbox_stream inbox_turns streak_race inbox_streak_race
ISOLATION_OPTS = --inputdir=test --outputdir=. --load-extension=$(EXTENSION)

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

print-%:
	@echo $($*)

# PGXS does not track headers.
$(OBJS): $(wildcard src/*.h) $(EXTENSION).control

endif
