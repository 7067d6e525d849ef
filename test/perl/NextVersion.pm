# A made-up next version of the extension: its library has one function more, and
# its update script does what updates do.  It is installed where only the test sees
# it, in a copy of the server's program files.
package NextVersion;
use strict;
use warnings;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;

# The server to build for.  That in PATH is the tests' copy of its program files.
my $pg_config = $ENV{PG_CONFIG} or die 'PG_CONFIG does not name the server to build for';

my $c_function = q{
#include "postgres.h"

#include "compat.h"
#include "result.h"

PG_FUNCTION_INFO_V1(idempotency_next);

Datum
idempotency_next(PG_FUNCTION_ARGS)
{
	return text_datum("from the new library");
}
};

# The strongest locks come first, as docs/releasing.md has it.
my $update_script = q{
LOCK TABLE @extschema@.idempotency_keys, @extschema@.webhook_inbox IN ACCESS EXCLUSIVE MODE;

ALTER TABLE @extschema@.idempotency_keys ADD next pg_catalog.text COLLATE pg_catalog."C" NOT NULL DEFAULT 'none';
COMMENT ON COLUMN @extschema@.idempotency_keys.next IS 'a column of the next version';
ALTER TABLE @extschema@.webhook_inbox ADD next pg_catalog.int4 NOT NULL DEFAULT 0;
CREATE INDEX idempotency_keys_next_idx ON @extschema@.idempotency_keys (created_at) WHERE next OPERATOR(pg_catalog.<>) 'none';

CREATE FUNCTION @extschema@.idempotency_next()
RETURNS pg_catalog.text
AS 'MODULE_PATHNAME', 'idempotency_next'
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE;
REVOKE ALL ON FUNCTION @extschema@.idempotency_next FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.idempotency_next IS 'a function of the next version';
};

# Makes a copy of the tests' installation in a folder.
sub new
{
	my ($class, $folder) = @_;
	my $self = bless { root => "$folder/root", source => "$folder/source" }, $class;
	my ($bindir) = run_command([ 'pg_config', '--bindir' ]);
	my ($real_bindir) = run_command([ $pg_config, '--bindir' ]);

	($self->{version}) = slurp_file('idempotency.control') =~ /^default_version = '(.+)'$/m;
	$self->{next_version} = $self->{version} =~ s/(\d+)$/$1 + 1/er;
	mkdir $folder;
	system_or_bail('cp', '-a', $bindir =~ s/\Q$real_bindir\E$//r, $self->{root});
	$self->{path} = $self->{root} . $real_bindir =~ s{/bin$}{}r;
	return $self;
}

# Statements that replace each function of a database by itself.
sub replace_functions
{
	my ($node) = @_;
	return $node->safe_psql('postgres', q{
		SELECT replace(pg_get_functiondef(p.oid), ' public.', ' @extschema@.') || ';'
		FROM pg_proc AS p JOIN pg_extension AS e ON extname = 'idempotency'
		JOIN pg_depend AS d ON (refobjid, refclassid, classid, objid, deptype) = (e.oid, e.tableoid, p.tableoid, p.oid, 'e')
		WHERE probin IS NOT NULL});
}

# All that makes a version: its own script, or an older one's and the updates.
sub whole_script
{
	my ($folder, $version) = @_;
	my $script = "$folder/idempotency--$version.sql";
	return slurp_file($script) if -e $script;

	my ($update) = glob "$folder/idempotency--*--$version.sql";
	my ($previous) = $update =~ /idempotency--(.+)--/;
	return whole_script($folder, $previous) . slurp_file($update);
}

# Builds the next version.  The server has the current one, and says what is in it.
sub build
{
	my ($self, $node) = @_;
	my $source = $self->{source};
	my $script = $update_script . replace_functions($node);

	mkdir $source;
	system_or_bail('cp', '-a', 'Makefile', 'idempotency.control', 'src', 'sql', $source);
	append_to_file("$source/src/next.c", $c_function);
	append_to_file("$source/sql/idempotency--$self->{next_version}.sql", whole_script("$source/sql", $self->{version}) . $script);
	append_to_file("$source/sql/idempotency--$self->{version}--$self->{next_version}.sql", $script);
	system_or_bail('sed', '-i', "s/^default_version = .*/default_version = '$self->{next_version}'/", "$source/idempotency.control");
	unlink "$source/src/idempotency.o";		# it tells the version
	make($source, 'all');
}

# What has been built is not built again for the control file's sake.
sub make
{
	my ($folder, @arguments) = @_;
	my $output;
	IPC::Run::run([ 'make', '-s', '-C', $folder, "PG_CONFIG=$pg_config", 'with_llvm=no', '-o', 'idempotency.control', @arguments ], '>&', \$output)
	  or BAIL_OUT("make @arguments: $output");
}

# Puts the next version in the place of the current one, as users do.
sub install
{
	my ($self) = @_;
	make($self->{source}, 'install', "DESTDIR=$self->{root}");
	return 1;
}

# The library that a process of the server has loaded: 'old', 'new' or 'none'.
sub library_of
{
	my ($pid) = @_;
	open my $maps, '<', "/proc/$pid/maps" or return 'none';
	my @libraries = grep { m{/idempotency\.so\b} } <$maps>;
	return !@libraries ? 'none' : grep({ /\(deleted\)$/ } @libraries) ? 'old' : 'new';
}

1;
