# Runs every SQL block of the README in one session, in order.  A block that
# is followed by a block of text must print that text.
use strict;
use warnings;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $readme = slurp_file('README.md');
my @blocks;
while ($readme =~ /^```sql\n(.*?)^```\n(?:^```text\n(.*?)^```\n)?/gms)
{
	push @blocks, { sql => $1, text => $2 };
}
cmp_ok(scalar(@blocks), '>', 10, 'the README has SQL to run');
is(scalar(grep { defined $_->{text} } @blocks), scalar(() = $readme =~ /^```text/mg),
	'every block of text follows the SQL that prints it');

my $node = PostgreSQL::Test::Cluster->new('readme');
$node->init;
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'pg_cron, idempotency'");
$node->start;

my $script = join '', map { "$blocks[$_]{sql}\\echo ==end $_\n" } 0 .. $#blocks;
my ($out, $err) = ('', '');
IPC::Run::run(
	[ 'bash', '-c', 'exec psql -Xq -v ON_ERROR_STOP=1 -v SHOW_CONTEXT=never -d "$0" 2>&1', $node->connstr('postgres') ],
	'<', \$script, '>', \$out);
my @answers = split /^==end \d+\n/m, $out, -1;
pop @answers;					# what follows the last block: nothing
is(scalar(@answers), scalar(@blocks), 'every block ran') or diag $out;

foreach my $i (0 .. $#blocks)
{
	next unless defined $blocks[$i]{text};
	$answers[$i] =~ s/\n+\z/\n/ if defined $answers[$i];
	is($answers[$i], $blocks[$i]{text}, "block $i prints what the README says");
}

$node->stop;
done_testing();
