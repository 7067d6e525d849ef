# What the extension consists of in a database: its objects, as pg_dump shows
# objects that belong to no extension.
package Catalog;
use strict;
use warnings;
use Exporter 'import';
use PostgreSQL::Test::Utils;

our @EXPORT_OK = qw(catalog differences);

# Lets a database's extension go, and keeps its objects.  Types that come with an
# object go with it; some servers list them, too.
my $detach = q{
	SELECT format('ALTER EXTENSION idempotency DROP %s %s', i.type, identity)
	FROM pg_depend CROSS JOIN pg_identify_object(classid, objid, objsubid) AS i
	LEFT JOIN pg_type AS t ON (t.tableoid, t.oid) = (classid, objid)
	LEFT JOIN pg_class AS c ON c.oid = typrelid
	WHERE deptype = 'e' AND refclassid = 'pg_extension'::regclass
		AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'idempotency')
		AND (t.oid IS NULL OR relkind = 'c')
	\gexec
	DROP EXTENSION idempotency;
};

# Tells all of a database's objects, as text; those of the extension are all there is.
# The SQL is run before, on a copy.
sub catalog
{
	my ($node, $db, $sql) = @_;
	my $copy = "copy_of_$db";
	my $file = $node->basedir . "/$copy.sql";

	$node->safe_psql('postgres', "CREATE DATABASE $copy TEMPLATE $db");
	$node->safe_psql($copy, $sql) if defined $sql;
	my $extension = $node->safe_psql($copy, q{
		SELECT 'version ' || extversion, extrelocatable, 'rows of ' || extconfig::regclass[]::text, extcondition
		FROM pg_extension WHERE extname = 'idempotency'});
	$node->safe_psql($copy, $detach);
	$node->command_ok([ 'pg_dump', '--schema-only', '-f', $file, '-d', $node->connstr($copy) ], "the catalog of $db");
	$node->safe_psql('postgres', "DROP DATABASE $copy");
	# some servers guard a dump by a word that is new each time
	return "$extension\n" . slurp_file($file) =~ s/^(--|\\(un)?restrict).*\n//gmr =~ s/\n\n+/\n/gr;
}

# The lines that only one of two catalogs has.
sub differences
{
	my %old = map { $_ => 1 } split /\n/, $_[0];
	my %new = map { $_ => 1 } split /\n/, $_[1];
	return join "\n", (map { "-$_" } grep { !$new{$_} } sort keys %old), (map { "+$_" } grep { !$old{$_} } sort keys %new);
}

1;
