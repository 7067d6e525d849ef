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

# ... nor by code that runs with a superuser's rights and loads the module
$node->safe_psql('postgres', q{
	CREATE FUNCTION digest() RETURNS bytea LANGUAGE sql SECURITY DEFINER AS $$ SELECT idempotency_request_hash('1') $$});
{
	local $ENV{PGOPTIONS} = '-c idempotency.tenant=';
	my ($result, $out, $err) = $node->psql('postgres',
		"SELECT length(digest());\nSELECT state FROM idempotency_lookup('globex', 'secret')",
		extra_params => [ '-U', 'acme' ]);
	is($out, '', 'an option, and a function of a superuser');
	like($err, qr/permission denied to set parameter "idempotency.tenant"/, '... the option is refused');
}

# Nor from being logged.
$node->safe_psql('postgres', q{ALTER ROLE acme SET idempotency.log_outcomes = 'claimed'});
{
	local $ENV{PGOPTIONS} = '-c idempotency.log_outcomes=';
	my ($result, $out, $err) = $node->psql('postgres', "SELECT outcome FROM idempotency_claim('acme', 'k')",
		extra_params => [ '-U', 'acme' ]);
	is($out, '', 'an option that switches the log off');
	like($err, qr/permission denied to set parameter "idempotency.log_outcomes"/, '... is refused');
}

$node->stop;
done_testing();
