# The contract in sentences holds for tables that are distributed: through the
# coordinator, which sends each statement to the tenant's node.
use strict;
use warnings;
use File::Basename qw(dirname);
use lib dirname(__FILE__) . '/../perl';
use CitusCluster;
use PostgreSQL::Test::Utils;
use TAP::Parser;
use Test::More;

my $contract = dirname(__FILE__) . '/../pgtap/contract.sql';

my $cluster = CitusCluster->new('contract', 2);
$cluster->start;
$cluster->safe_psql('postgres', 'CREATE EXTENSION idempotency; CREATE EXTENSION pgtap');
$cluster->follow('distribute.sql');
is( $cluster->safe_psql('postgres', q{
		SELECT logicalrelid, count(DISTINCT nodeport) FROM pg_dist_partition
			JOIN pg_dist_shard USING (logicalrelid) JOIN pg_dist_placement USING (shardid) JOIN pg_dist_node USING (groupid)
		GROUP BY 1 ORDER BY 1}),
	"idempotency_keys|2\nwebhook_inbox|2", 'both tables are on both workers');

my ($status, $out, $err) = $cluster->psql('postgres', slurp_file($contract), extra_params => ['-qAt']);
my $parser = TAP::Parser->new({ tap => $out });
while (my $result = $parser->next)
{
	ok($result->is_ok, $result->description =~ s/^- //r) if $result->is_test;
}
is($parser->tests_run, $parser->tests_planned, 'the whole contract was tested') or diag $err;

$cluster->stop;
done_testing();
