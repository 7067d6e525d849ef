# Keys on a standby.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 1);
$primary->start;
$primary->safe_psql('postgres', q{
	CREATE EXTENSION idempotency;
	SELECT idempotency_complete('acme', 'k', token, 201, 'done') FROM idempotency_claim('acme', 'k', '{"n": 1}');
	SELECT outcome FROM idempotency_claim('acme', 'running', '{"n": 1}', lease => '0');});

$primary->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'backup', has_streaming => 1);
$standby->start;
$primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert'));

is( $standby->safe_psql('postgres', q{SELECT state, response_body FROM idempotency_lookup('acme', 'k')}),
	'completed|done', 'lookup works on a standby');
my ($result, $out, $err) = $standby->psql('postgres',
	"\\set VERBOSITY verbose\nSELECT outcome FROM idempotency_claim('acme', 'k')");
like($err, qr/25006.*This server is a standby.*Send the call to the primary/s, '... and a claim says what to do');

my $token = $primary->safe_psql('postgres', q{SELECT token FROM idempotency_keys WHERE key = 'running'});
$standby->promote;
is( $standby->safe_psql('postgres', qq{
		SELECT outcome, attempt, token > $token FROM idempotency_claim('acme', 'running', '{"n": 1}')}),
	'resumed|2|t', '... until it is promoted');

$standby->stop;
$primary->stop;
done_testing();
