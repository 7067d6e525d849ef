# A thousand savepoints in a transaction, each with a claim, half of them rolled
# back: those that are kept are there, the others are free.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# Fewer locks for a transaction than it claims keys.
my $node = PostgreSQL::Test::Cluster->new('savepoints');
$node->init;
$node->append_conf('postgresql.conf', q{
	max_locks_per_transaction = 10
	log_statement = none});
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION idempotency');

sub claim
{
	my ($key) = @_;
	return "SELECT outcome FROM idempotency_claim('acme', '$key');\n";
}

# What becomes of a savepoint; an even one is rolled back.
my %ends = (
	'inside each other' => [ "ROLLBACK TO s;\n", '' ],
	'after each other' => [ "ROLLBACK TO s; RELEASE s;\n", "RELEASE s;\n" ]);

foreach my $way (sort keys %ends)
{
	my $script = $node->basedir . "/$way.sql";
	append_to_file($script, join '', "BEGIN;\n", map { "SAVEPOINT s;\n" . claim("$way $_") . $ends{$way}[ $_ % 2 ] } 1 .. 1000);

	my $session = $node->background_psql('postgres');
	is($session->query("\\i '$script'"), join("\n", ('claimed') x 1000), "savepoints $way: each claims its key");
	is($node->safe_psql('postgres', claim("$way 1")), 'in_progress', '... what is kept is in progress');
	is($node->safe_psql('postgres', claim("$way 1000")), 'claimed', '... what is rolled back is free');
	is($session->query(claim("$way 998")), 'claimed', '... also in the transaction itself');
	$session->query('COMMIT');
	$session->quit;
	is( $node->safe_psql('postgres', qq{
			SELECT count(*), string_agg(n::text, ',' ORDER BY n) FILTER (WHERE n % 2 = 0)
			FROM (SELECT replace(key, '$way ', '')::int AS n FROM idempotency_keys WHERE key LIKE '$way %') AS k}),
		'502|998,1000', '... and no others are there');
}

$node->stop;
done_testing();
