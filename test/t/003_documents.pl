# Runs every SQL block of README.md and the manual in order, each page in a
# session on a server of its own.  A block that is followed by a block of
# text must print that text.  A page that needs more than one server names the
# test that runs it: <!-- run by test/t/... -->
use strict;
use warnings;
use File::Basename qw(basename dirname);
use lib dirname(__FILE__) . '/../perl';
use Documents;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# What each block prints, in a session that ends at the first error.
sub run_blocks
{
	my ($page, @blocks) = @_;
	my $node = PostgreSQL::Test::Cluster->new(basename($page, '.md'));
	$node->init;
	$node->append_conf('postgresql.conf', "shared_preload_libraries = 'pg_cron, idempotency'");
	$node->start;

	my $script = join '', map { "$blocks[$_]{sql}\\echo ==end $_\n" } 0 .. $#blocks;
	my $out = '';
	IPC::Run::run(
		[ 'bash', '-c', 'exec psql -Xq -v ON_ERROR_STOP=1 -v SHOW_CONTEXT=never -d "$0" 2>&1', $node->connstr('postgres') ],
		'<', \$script, '>', \$out);
	$node->stop;
	my @answers = split /^==end \d+\n/m, $out, -1;
	pop @answers;					# what follows the last block: nothing
	is(scalar(@answers), scalar(@blocks), "every block of $page ran") or diag $out;
	return map { s/\n+\z/\n/r } @answers;
}

my $count = 0;
foreach my $page (documents())
{
	if (my ($test) = slurp_file($page) =~ /^<!-- run by (\S+) -->$/m)
	{
		like(slurp_file($test), qr/\Q$page\E/, "$page is run by $test");
		next;
	}

	my @blocks = sql_blocks($page);
	is(scalar(grep { defined $_->{text} } @blocks), scalar(() = slurp_file($page) =~ /^```text/mg),
		"every block of text in $page follows the SQL that prints it");
	next unless @blocks;
	$count += @blocks;

	my @answers = run_blocks($page, @blocks);
	foreach my $i (grep { defined $blocks[$_]{text} } 0 .. $#blocks)
	{
		is($answers[$i], $blocks[$i]{text}, "block $i of $page prints what is said there");
	}
}
cmp_ok($count, '>', 30, 'there is SQL to run');
done_testing();
