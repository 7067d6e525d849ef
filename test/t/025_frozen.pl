# What was released stays as it was, and leads to the newest version: an update
# from each released version ends where a new installation does.
use strict;
use warnings;
use File::Basename qw(dirname);
use lib dirname(__FILE__) . '/../perl';
use Catalog qw(catalog differences);
use EveryState;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# The scripts.  After its last -- a name has the version that the script leads to.
my $checked = '';
IPC::Run::run([ 'sha256sum', '--check', '--strict', 'sql/released.sha256' ], '>&', \$checked);
unlike($checked, qr/^(?!sql\/.*: OK$)/m, 'no released script has changed')
  or diag 'a database that has the version would never get the change: see docs/releasing.md';
my %released = map { $_ => 1 } $checked =~ /^sql\/idempotency--(?:.*--)?(.+)\.sql: /mg;
cmp_ok(scalar(keys %released), '>', 0, 'there is one');

my ($newest) = slurp_file('idempotency.control') =~ /^default_version = '(.+)'$/m;
my @changelog = slurp_file('CHANGELOG.md') =~ /^## (\S.*)$/mg;
like($changelog[0], qr/^\Q$newest\E( |$)/, 'the changelog begins with the newest version');
foreach (map { /^(\S+)/ } grep { !/unreleased/ } @changelog)
{
	ok($released{$_}, "$_ is released and its script frozen") or diag 'run tools/freeze';
}

my $node = PostgreSQL::Test::Cluster->new('frozen');
$node->init;
$node->start;

sub create
{
	my ($db, $version) = @_;
	$node->safe_psql('postgres', "CREATE DATABASE $db");
	return $node->psql($db, "CREATE EXTENSION idempotency VERSION '$version'") == 0;
}

# Where the tables' rows are: a rewritten table has them elsewhere, where open
# snapshots don't see them.
my $files = q{
	SELECT relname, pg_relation_filenode(oid) FROM pg_class
	WHERE relname IN ('idempotency_keys', 'webhook_inbox') ORDER BY 1};

# What programs and open sessions rely on: functions, columns, and types as a whole.
my $contract = q{
	SELECT p.oid, p.oid::regprocedure::text, pg_get_function_arguments(p.oid), pg_get_function_result(p.oid)
	FROM pg_proc AS p JOIN pg_depend AS d ON (classid, objid, deptype) = (p.tableoid, p.oid, 'e')
	JOIN pg_extension AS e ON (refclassid, refobjid, extname) = (e.tableoid, e.oid, 'idempotency')
	UNION ALL
	SELECT attrelid, attrelid::regclass::text, attname, format_type(atttypid, atttypmod)
	FROM pg_attribute WHERE attrelid IN ('idempotency_keys'::regclass, 'webhook_inbox'::regclass) AND attnum > 0
	UNION ALL
	SELECT attrelid, attrelid::regclass::text, '', string_agg(attname || ' ' || format_type(atttypid, atttypmod), ', ' ORDER BY attnum)
	FROM pg_attribute WHERE attrelid IN ('webhook_event'::regclass, 'idempotency_response'::regclass) GROUP BY attrelid};

ok(create('newest', $newest), "the newest version, $newest, can be installed");
my $catalog = catalog($node, 'newest');
foreach my $version (sort keys %released)
{
	my $db = 'of_' . $version =~ s/\W/_/gr;
	ok(create($db, $version), "$version can be installed: this library has all its functions");

	make_every_state($node, $db);
	my $answers = answers($node, $db);
	my $rows = $node->safe_psql($db, $files);
	my $promised = $node->safe_psql($db, $contract);
	is($node->psql($db, "ALTER EXTENSION idempotency UPDATE TO '$newest'"), 0, "... updated to $newest");
	my $updated = catalog($node, $db);
	ok($updated eq $catalog, '... it is the same as a new one') or diag differences($catalog, $updated);
	unlike(differences($promised, $node->safe_psql($db, $contract)), qr/^-/m, '... every function, type and column is still there');
	is($node->safe_psql($db, $files), $rows, '... no table was rewritten');
	is(answers($node, $db), $answers, '... the old answers are replayed');
	goes_on($node, $db);
}

# The comparison itself: what it must see, and how it shows.
my %changes = (
	'a function' => [ "CREATE FUNCTION added() RETURNS int LANGUAGE sql AS 'SELECT 1'", qr/^\+CREATE FUNCTION public\.added\(/m ],
	'an argument' => [ 'ALTER FUNCTION idempotency_request_hash RENAME TO digest', qr/^\+CREATE FUNCTION public\.digest\(request jsonb\)/m ],
	'volatility' => [ 'ALTER FUNCTION idempotency_derive_key STABLE', qr/^\+ +LANGUAGE c STABLE PARALLEL SAFE/m ],
	'a privilege on a function' => [ 'GRANT EXECUTE ON FUNCTION idempotency_claim TO PUBLIC', qr/^-REVOKE ALL ON FUNCTION public\.idempotency_claim\(/m ],
	'a privilege on a table' => [ 'GRANT SELECT ON idempotency_keys TO PUBLIC', qr/^\+GRANT SELECT ON TABLE public\.idempotency_keys TO PUBLIC/m ],
	'a comment' => [ q{COMMENT ON COLUMN webhook_inbox.stream IS 'changed'}, qr/^\+COMMENT .*'changed'/m ],
	'a column' => [ 'ALTER TABLE idempotency_keys ADD added int', qr/^\+ +added integer/m ],
	'a default' => [ 'ALTER TABLE idempotency_keys ALTER attempt SET DEFAULT 7', qr/^\+ +attempt integer DEFAULT 7 NOT NULL/m ],
	'a constraint' => [ 'ALTER TABLE webhook_inbox ADD CONSTRAINT added CHECK (attempt >= 0)', qr/^\+.*CONSTRAINT added CHECK/m ],
	'an index' => [ 'DROP INDEX webhook_inbox_stream_idx', qr/^-CREATE INDEX webhook_inbox_stream_idx /m ],
	'a setting of a table' => [ 'ALTER TABLE idempotency_keys SET (fillfactor = 71)', qr/^\+.*fillfactor='71'/m ],
	'a type' => [ 'ALTER TYPE idempotency_response ADD ATTRIBUTE added int', qr/^\+\tadded integer/m ],
	'a view' => [ 'ALTER VIEW idempotency_activity RENAME dead TO buried', qr/^\+.* AS buried/m ],
	'what is dumped' => [ 'ALTER EXTENSION idempotency DROP TABLE webhook_inbox', qr/^\+version \Q$newest\E\|f\|rows of \{idempotency_keys\}/m ]);
my $changed = differences($catalog, catalog($node, 'newest', join(';', map { $_->[0] } values %changes)));
like($changed, $changes{$_}[1], "the comparison sees $_") foreach sort keys %changes;

$node->stop;
done_testing();
