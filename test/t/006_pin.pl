# A pinned role can't get rid of its pin by the options of its connection.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('pin');
$node->init;
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION idempotency;
	CREATE ROLE acme LOGIN;
	GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO acme;
	ALTER ROLE acme SET idempotency.tenant = 'acme';
	SELECT outcome FROM idempotency_claim('globex', 'secret');});

sub state_of
{
	my ($tenant, $options) = @_;
	local $ENV{PGOPTIONS} = $options;
	my ($result, $out, $err) = $node->psql('postgres',
		"SELECT count(*) FROM idempotency_lookup('$tenant', 'secret')",
		extra_params => [ '-U', 'acme' ]);
	return $result == 0 ? $out : $err =~ /permission denied/ ? 'denied' : $err;
}

is(state_of('acme', ''), '0', 'its own tenant');
is(state_of('globex', ''), 'denied', 'another tenant');
foreach my $value ('globex', 'acme', '')
{
	is(state_of('globex', "-c idempotency.tenant=$value"), 'denied', "an option that says '$value'");
	is(state_of('globex', "-c IDEMPOTENCY.Tenant=$value"), 'denied', "... in other letters");
}

$node->stop;
done_testing();
