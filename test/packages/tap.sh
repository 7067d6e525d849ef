# Sourced by the tests of the packages.  They run as root in a bare Debian that
# is thrown away, with a copy of the checkout in /tmp/checkout.
set -uo pipefail
export DEBIAN_FRONTEND=noninteractive LANG=C.UTF-8
cd /tmp/checkout || exit 1

tests=0
failures=0

# ok SENTENCE COMMAND...: what the command prints is indented, as it may be TAP.
ok()
{
	local sentence=$1 result=ok
	shift
	echo "# $*"
	"$@" 2>&1 | sed 's/^/    /' || { result="not ok"; failures=$((failures + 1)); }
	tests=$((tests + 1))
	echo "$result $tests - $sentence"
}

done_testing()
{
	echo "1..$tests"
	exit "$failures"
}

# Runs a command if it is one that the README or the manual shows.
documented()
{
	cat README.md docs/*.md | awk -v command="$1" '
		index($0, command) == 1 &&
		substr($0, length(command) + 1) ~ /^( *#.*)?$/ { shown = 1 }
		END { exit !shown }' || { echo "no page shows this"; return 1; }
	eval "$1"
}

install()
{
	apt-get -q update &&
	apt-get -qq -y --no-install-recommends install "$@"
}

# psql as the superuser, on a cluster as Debian makes it
query()
{
	(cd / && runuser -u postgres -- psql -XAtq -v ON_ERROR_STOP=1 -c "$1")
}

# shows RESULT QUERY
shows()
{
	local result
	result=$(query "$2") && echo "$result" && [ "$result" = "$1" ]
}
