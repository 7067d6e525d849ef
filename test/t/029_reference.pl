# docs/reference.md is what the catalog says, and nothing is missing there.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('reference');
$node->init;
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION idempotency');

my $reference = slurp_file('docs/reference.md');
my ($made, $errors) = run_command([ 'psql', '-XqAt', '-f', 'tools/reference.sql', '-d', $node->connstr('postgres') ]);
is($errors, '', 'the reference can be made');
# the lines that differ, rather than all of it
my %there = map { $_ => 1 } split /\n/, $reference;
my %made = map { $_ => 1 } split /\n/, $made;
is(join("\n", grep { !$there{$_} } sort keys %made), '', 'what the catalog says is in the reference (or else: make reference)');
is(join("\n", grep { !$made{$_} } sort keys %there), '', 'what the reference says is in the catalog');
ok("$made\n" eq $reference, 'the reference is what make reference writes');

# Found another way than tools/reference.sql does.
my @names = split /\n/, $node->safe_psql('postgres', q{
	LOAD 'idempotency';
	SELECT DISTINCT object.name FROM pg_depend AS d, pg_identify_object_as_address(d.classid, d.objid, 0) AS a,
		LATERAL (SELECT a.object_names[cardinality(a.object_names)]) AS object (name)
	WHERE d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'idempotency') AND d.deptype = 'e'
	AND a.type IN ('function', 'procedure', 'table', 'view')
	UNION SELECT typname FROM pg_type WHERE typname IN ('idempotency_response', 'webhook_event')
	UNION SELECT name FROM pg_settings WHERE name LIKE 'idempotency.%'});
push @names, map { join '', /'(.)'/g } slurp_file('src/errors.h') =~ /MAKE_SQLSTATE\((.*)\)/g;
cmp_ok(scalar(@names), '>', 50, 'there are functions, relations, settings and errors');
is(join(' ', grep { $reference !~ /`\Q$_\E`|^### (\w+ )?\Q$_\E$/m } @names), '', 'each of them is in the reference');

# What has no meaning shows as an empty cell at the end of its row (as do profiles without a right).
is(join("\n", grep { /\|  \|$/ && !/EXECUTE/ } split /\n/, $reference), '', 'each of them has a meaning');

# The codes that a function's comment names are explained.
my %explained = map { $_ => 1 } $reference =~ /^\| `([0-9A-Z]{5})` \|/mg;
my %raised = map { $_ => 1 } map { /\b([0-9]\w{4}|IK\d{3})\b/g } $reference =~ /^\[Errors\].*$/mg;
is(join(' ', grep { !$explained{$_} } sort keys %raised), '', 'every error that a function has is explained');
$node->stop;
done_testing();
