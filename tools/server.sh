# Sourced by the other tools: a PostgreSQL of our own in a temporary folder.
#
# The server's program files are mirrored there and the extension is installed
# into the mirror, so that nothing on the system changes and any number of
# checkouts can be tested side by side.  PostgreSQL finds its libraries
# relative to its programs, wherever they are.

# The major version: PGVERSION, or the newest one the distribution offers.
server_version()
{
	if [ -n "${PGVERSION:-}" ]; then
		echo "$PGVERSION"
		return
	fi
	local version
	version=$(apt-cache depends postgresql 2>/dev/null |
		sed -n 's/.*Depends: postgresql-\([0-9][0-9]*\)$/\1/p' | head -n 1)
	if [ -z "$version" ]; then		# no package lists yet
		. /etc/os-release
		case ${VERSION_ID:-} in
		12) version=15 ;;
		*) version=17 ;;
		esac
	fi
	echo "$version"
}

# PG_CONFIG names a server of the user's own; otherwise it is Debian's.
: "${PG_CONFIG:=/usr/lib/postgresql/$(server_version)/bin/pg_config}"
checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# Runs a command as a user that PostgreSQL accepts: not root.
unprivileged()
{
	if [ "$(id -u)" = 0 ]; then
		runuser -u postgres -- "$@"
	else
		"$@"
	fi
}

# Copies the checkout to a folder, without what has been built in it.
copy_checkout()
{
	mkdir "$1" &&
	tar -c -C "$checkout" --exclude=.git --exclude='*.o' --exclude='*.so' \
		--exclude=node_modules . |
		tar -x -C "$1"
}

# Makes $work, with the checkout in $work/src, and removes it at exit.
make_work_folder()
{
	work=$(mktemp -d /tmp/idempotency.XXXXXX) || exit 1
	trap 'stop_server; [ -n "${KEEP:-}" ] || rm -rf "$work"' EXIT
	trap 'exit 130' INT TERM
	copy_checkout "$work/src"
}

# Builds the extension and installs it into a mirror of the server.
# Sets $bindir, where the mirrored programs are, and $pgxs.
install_extension()
{
	local folder
	local root=$work/root

	[ -x "$PG_CONFIG" ] || {		# what it would print is copied below
		echo "there is no $PG_CONFIG"
		return 1
	}
	pgxs=$(dirname "$("$PG_CONFIG" --pgxs)")/../..
	bindir=$root$("$PG_CONFIG" --bindir)
	mkdir -p "$bindir"
	cp -aL "$("$PG_CONFIG" --bindir)/." "$bindir"
	for folder in "$("$PG_CONFIG" --pkglibdir)" "$("$PG_CONFIG" --sharedir)"; do
		mkdir -p "$root$folder"
		cp -as "$folder/." "$root$folder"
	done

	make -s -C "$work/src" PG_CONFIG="$PG_CONFIG" with_llvm=no "$@" \
		>"$work/build.log" 2>&1 &&
	make -s -C "$work/src" PG_CONFIG="$PG_CONFIG" with_llvm=no install \
		DESTDIR="$root" >>"$work/build.log" 2>&1 || {
		cat "$work/build.log"
		return 1
	}
	[ "$(id -u)" != 0 ] || chown -R postgres "$work"
	cd "$work" || return 1		# the checkout may be out of their reach
	export PATH=$bindir:$PATH
}

# Starts a server on a Unix socket in $work; the arguments are settings.
start_server()
{
	local setting

	unset PGOPTIONS PGDATABASE PGUSER PGSERVICE PGPASSFILE
	export PGHOST=$work PGPORT=5432 PGUSER=postgres PGDATABASE=postgres
	export LC_ALL=C.UTF-8
	unprivileged initdb -D "$work/data" -U postgres -A trust -N \
		-E UTF8 >"$work/initdb.log"
	{
		echo "listen_addresses = ''"
		echo "unix_socket_directories = '$work'"
		echo "max_prepared_transactions = 10"
		for setting in "$@"; do echo "$setting"; done
	} | unprivileged tee -a "$work/data/postgresql.conf" >/dev/null
	unprivileged pg_ctl -D "$work/data" -l "$work/server.log" -w -s start
}

stop_server()
{
	[ ! -e "${work:-/nonexistent}/data/postmaster.pid" ] ||
		[ -n "${KEEP:-}" ] ||
		unprivileged pg_ctl -D "$work/data" -m immediate -w -s stop
}
