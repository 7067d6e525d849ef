# Sourced by the tools that run tests: counts what passes and what fails.

passed=0
failed=0

# What is shown of a suite while it runs: nothing, or with progress=1 all.
show()
{
	if [ -n "${progress:-}" ]; then cat; else cat >/dev/null; fi
}

tap_ok='^ok +[0-9]'
tap_not_ok='^not ok +[0-9]|^Bail out'

# add PASSED FAILED STATUS: what runs nothing, or stops early, has failed.
add()
{
	local p=${1:-0} f=${2:-0} status=$3
	if [ "$f" = 0 ] && { [ "$status" != 0 ] || [ "$p" = 0 ]; }; then
		f=1
	fi
	echo "   $p passed, $f failed"
	passed=$((passed + p))
	failed=$((failed + f))
	[ "$f" = 0 ]
}

# The two numbers of a log's last line "N passed, N failed".
last_total()
{
	sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed$/\1 \2/p' "$1" | tail -n 1
}

# Runs one suite in $work/src and counts its lines: count NAME OK-PATTERN
# FAILED-PATTERN COMMAND...
count()
{
	local name=$1 ok=$2 not_ok=$3 status=0 log=$work/$1.log
	shift 3
	echo "== $name"
	(cd "$work/src" && "$@") 2>&1 | tee "$log" | show || status=$?
	add "$(grep -cE "$ok" "$log")" "$(grep -cE "$not_ok" "$log")" "$status" || {
		[ -n "${progress:-}" ] || cat "$log"
		find "$work/src" -name 'regression.diffs' -newer "$work/build.log" \
			-exec cat {} + -exec rm {} +
		return 1
	}
}

# Makes the folders that TAP tests write to.
make_tap_folders()
{
	mkdir -p "$work/tap/data" "$work/tap/log"
	chown -R --reference="$work" "$work"
}

# Runs the TAP tests of a folder.  The test modules take LC_ALL away, and leave
# LANG.
tap()
{
	TESTDIR=$work/tap TESTDATADIR=$work/tap/data TESTLOGDIR=$work/tap/log \
		PG_REGRESS=$pgxs/src/test/regress/pg_regress PGPORT=65432 \
		unprivileged env PG_CONFIG="$PG_CONFIG" LANG=C.UTF-8 LC_ALL=C.UTF-8 \
		prove -v -j 2 -I "$pgxs/src/test/perl" "$1"/*.pl
}

# The last line of all.
total()
{
	echo
	echo "$passed passed, $failed failed"
	[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
}
