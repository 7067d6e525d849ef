# A duplicate that waits behind a committed lease gets the answer when the
# holder completes.
use strict;
use warnings;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('wait');
$node->init;
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION idempotency');

# Starts a waiter, and returns once it sleeps.
sub waiter
{
	my ($key) = @_;
	my $waiter = { out => '' };
	$waiter->{run} = IPC::Run::start(
		[ 'psql', '-XqAt', '-d', $node->connstr('postgres'), '-c',
		  "SELECT outcome, attempt, response_body FROM idempotency_claim('acme', '$key', wait => '1 h')" ],
		'>', \$waiter->{out});
	$node->poll_query_until('postgres', q{
		SELECT count(*) = 1 FROM pg_stat_activity
		WHERE query LIKE '%wait =>%' AND wait_event_type = 'Extension'});
	return $waiter;
}

my $token = $node->safe_psql('postgres', q{SELECT token FROM idempotency_claim('acme', 'k')});
my $waiter = waiter('k');
$node->safe_psql('postgres', "SELECT idempotency_complete('acme', 'k', $token, 200, 'done')");
$waiter->{run}->finish;
is($waiter->{out}, "replay||done\n", 'the holder completes');

$token = $node->safe_psql('postgres', q{SELECT token FROM idempotency_claim('acme', 'r')});
$waiter = waiter('r');
$node->safe_psql('postgres', "SELECT idempotency_release('acme', 'r', $token)");
$waiter->{run}->finish;
is($waiter->{out}, "resumed|2|\n", 'the holder releases');

$node->safe_psql('postgres', q{SELECT outcome FROM idempotency_claim('acme', 'l', lease => '2 s')});
$waiter = waiter('l');
$waiter->{run}->finish;
is($waiter->{out}, "resumed|2|\n", 'the lease lapses');

$node->safe_psql('postgres', q{SELECT outcome FROM idempotency_claim('acme', 'c')});
$waiter = waiter('c');
$node->safe_psql('postgres', q{
	SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE '%wait =>%' AND pid <> pg_backend_pid()});
$waiter->{run}->finish;
is($waiter->{out}, '', 'the waiter is cancelled');

$node->stop;
done_testing();
