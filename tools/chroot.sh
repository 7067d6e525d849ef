# Sourced by the tools that test in chroots of Debian, after server.sh.  They need
# root or sudo.
#
# VERSIONS chooses the major versions of PostgreSQL; each is tested in the Debian
# that has it.  The folder CHROOTS keeps, for each suite of Debian, a chroot as
# debootstrap made it (SUITE.pristine), the packages that were downloaded for it
# (SUITE.archives), and what the tools make of these.
export PATH=$PATH:/usr/sbin:/sbin

declare -A suites=([15]=bookworm [17]=trixie [18]=sid)
: "${CHROOTS:=${XDG_CACHE_HOME:-$HOME/.cache}/idempotency}"

die()
{
	echo "$*" >&2
	exit 1
}

# The variables that go through sudo and into the chroots, as NAME=VALUE.
environment()
{
	local name
	for name in http_proxy https_proxy no_proxy PG_TEST_TIMEOUT_DEFAULT "$@"; do
		[ -z "${!name:-}" ] || printf '%s=%s\0' "$name" "${!name}"
	done
}

# Runs a command in namespaces of its own: its mounts, its processes and their
# shared memory are gone when it ends, however it ends.
isolated()
{
	local status
	set -m			# else it would ignore SIGINT, and so would the tests
	unshare --mount --pid --mount-proc --ipc --fork --kill-child "$@" </dev/null &
	child=$!
	set +m
	wait "$child"
	status=$?
	child=
	return $status
}

# The same in the chroot, whose root is a mount point, as a system's is.  The
# shell stays, to reap what the tests orphan.
in_chroot()
{
	local environment
	mapfile -t -d '' environment < <(environment)
	mkdir -p "$CHROOTS/$suite.archives/partial"
	isolated bash -ec '
		mount --bind "$0" "$0"
		mount -t proc proc "$0/proc"
		mount -t devpts -o newinstance,ptmxmode=666 devpts "$0/dev/pts"
		mount -t tmpfs tmpfs "$0/dev/shm"
		mount --bind "$1" "$0/var/cache/apt/archives"
		shift
		chroot "$0" "$@"
		exit' "$root" "$CHROOTS/$suite.archives" \
		env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin \
		PGVERSION="$version" "${environment[@]}" "$@"
}

# step NAME COMMAND...: says what is done, and if it fails, all it printed.
step()
{
	echo "== $version: $1"
	shift
	"$@" >"$log" 2>&1 && return
	cat "$log"
	return 1
}

# The mirrors of Debian that this machine's apt uses.
mirrors()
{
	apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' \
		'Label: Debian' | grep -E '^https?:' | sort -u
}

bootstrap()
{
	rm -rf --one-file-system "$pristine.new"
	isolated debootstrap --variant=minbase "$suite" "$pristine.new" "$@" || {
		cat "$pristine.new/debootstrap/debootstrap.log" 2>/dev/null
		return 1
	}
}

# It gets its name when it is complete.
make_pristine()
{
	local mirror
	for mirror in $(mirrors) ''; do		# the last is debootstrap's own choice
		step "debootstrap $suite${mirror:+ $mirror}" bootstrap $mirror || continue
		mv "$pristine.new" "$pristine"
		return
	done
	return 1
}

# The chroot reaches the network as this machine does: by its names, proxies
# and certificates.  Unstable, or a copy of it, may be past its date.
copy_network_settings()
{
	local certificates=/etc/ssl/certs/ca-certificates.crt
	cp -L --remove-destination /etc/resolv.conf /etc/hosts "$root/etc" &&
	{
		apt-config dump | grep -E '^Acquire::(https?::|Retries|Check-)' |
			grep -viE 'detect|CAInfo'
		echo 'Acquire::Check-Valid-Until "false";'
		if [ -e "$certificates" ]; then
			cp -L "$certificates" "$root/etc/apt/machine.crt"
			echo 'Acquire::https::CAInfo "/etc/apt/machine.crt";'
		fi
	} >"$root/etc/apt/apt.conf.d/90machine"
}

# Makes the chroot $root of $suite, unless it is there.  Nothing in it has to
# survive a power cut.
make_chroot()
{
	local pristine=$CHROOTS/$suite.pristine
	[ -d "$root" ] || {
		[ -d "$pristine" ] || make_pristine || return
		rm -rf --one-file-system "$root.new"
		cp -a "$pristine" "$root.new" && mv "$root.new" "$root" || return
	}
	echo force-unsafe-io >"$root/etc/dpkg/dpkg.cfg.d/fast"
	copy_network_settings
}

# What is new or throw-away goes, and what the tests left behind.
remove_leftovers()
{
	local suite root
	rm -rf --one-file-system "$CHROOTS"/*.new "$CHROOTS"/*.throw-away
	for suite in "${suites[@]}"; do
		for root in "$CHROOTS/$suite"*/; do
			[ -L "${root%/}" ] || [ ! -d "${root}tmp" ] || find "${root}tmp" -xdev -mindepth 1 -delete
		done
	done
}

# Kills the first process of the namespaces, and with it the others; unshare
# ends when all of them are gone.
kill_child()
{
	local first
	first=$(grep -ls "^PPid:[[:space:]]*$child\$" /proc/[0-9]*/status |
		cut -d / -f 3)
	kill -KILL "${first:-$child}"
	wait "$child"
}

cleanup()
{
	[ -z "$child" ] || kill_child 2>/dev/null
	rm -f "$log"
	remove_leftovers
}

# Becomes root, and has the folder CHROOTS for itself.
open_chroots()
{
	local version variables
	for version in $VERSIONS; do
		[ -n "${suites[$version]:-}" ] ||
			die "no Debian is known here to have PostgreSQL $version"
	done
	mkdir -p "$CHROOTS" || exit 1
	CHROOTS=$(cd "$CHROOTS" && pwd)

	if [ "$(id -u)" != 0 ]; then
		command -v sudo >/dev/null || die "making a chroot needs root, or sudo"
		mapfile -t -d '' variables < <(environment VERSIONS CHROOTS)
		exec sudo env "${variables[@]}" "$checkout/tools/${0##*/}"
	fi

	"$checkout/tools/deps" debootstrap debian-archive-keyring gpgv || exit 1
	exec {lock}>>"$CHROOTS/lock"
	flock -n "$lock" || {
		echo "waiting for another one that uses $CHROOTS"
		flock "$lock"
	}

	child=
	log=$(mktemp) || exit 1
	trap cleanup EXIT
	trap 'exit 130' INT TERM HUP
	remove_leftovers
	isolated true || die "making a chroot needs the right to mount"
}

# for_each_version COMMAND: runs it for each of VERSIONS, with $version and
# $suite; it sets $passed and $failed.  Ends with the line "N passed, N failed".
for_each_version()
{
	local version suite summary= total_passed=0 total_failed=0
	for version in $VERSIONS; do
		suite=${suites[$version]}
		passed=0
		failed=0
		"$1" || [ "$failed" != 0 ] || failed=1
		summary+="$version: $passed passed, $failed failed"$'\n'
		total_passed=$((total_passed + passed))
		total_failed=$((total_failed + failed))
	done
	printf '\n%s\n' "$summary"
	passed=$total_passed
	failed=$total_failed
	total
}
