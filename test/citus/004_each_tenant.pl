# What spans tenants: some functions do so through the coordinator; the others
# refuse to, and there is a variant that goes from tenant to tenant.
use strict;
use warnings;
use File::Basename qw(dirname);
use lib dirname(__FILE__) . '/../perl';
use CitusCluster;
use Test::More;

my $tenants = 20;

my $cluster = CitusCluster->new('tenants', 2);
$cluster->start;
$cluster->safe_psql('postgres', q{
	CREATE EXTENSION idempotency;
	CREATE TABLE handled (event_id text);
	CREATE FUNCTION handle(event webhook_event) RETURNS void LANGUAGE sql AS $$ INSERT INTO handled VALUES (event.tenant_id || ' ' || event.event_id) $$;
	CREATE FUNCTION failing(event webhook_event) RETURNS void LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$});
$cluster->follow('distribute.sql', 'delegate.sql', 'each_tenant.sql');

sub ask { return $cluster->safe_psql('postgres', "SET client_min_messages = error; $_[0]"); }

# Calls a function for every tenant; tells what it returned.
sub for_tenants
{
	my ($call) = @_;
	return ask("SELECT DISTINCT r.* FROM generate_series(1, $tenants) AS i, LATERAL (SELECT 'tenant' || i) AS t (tenant), LATERAL $call AS r");
}

sub refuses
{
	my ($sql, $name) = @_;
	my ($status, $out, $err) = $cluster->psql('postgres', "\\set VERBOSITY sqlstate\n$sql");
	is($err =~ /ERROR:  (\w+)/ ? $1 : 'no error', '0A000', $name);
}

# Keys
is(for_tenants("(SELECT outcome FROM idempotency_claim(tenant, 'lapsed', '{}', lease => '0', keep_request => true))"), 'claimed', 'keys whose holders died');
is(for_tenants("(SELECT outcome FROM idempotency_claim(tenant, 'short', ttl => '0'))"), 'claimed', 'keys that have expired');
is(ask('SELECT count(*), count(DISTINCT tenant_id) FROM idempotency_claim_abandoned()'), "$tenants|$tenants", 'idempotency_claim_abandoned finds those of all tenants');
is(ask('SELECT count(*) FROM idempotency_claim_abandoned()'), '0', '... once');
is(ask('SELECT count(*), sum(in_progress) FROM idempotency_activity'), "$tenants|$tenants", 'idempotency_activity shows all tenants');

# Events: one of no stream, two of a stream, one that has expired
is(for_tenants("(SELECT outcome FROM webhook_inbox_record(tenant, 'github', 'alone'))"), 'recorded', 'events of no stream');
is(for_tenants("(SELECT outcome FROM webhook_inbox_record_batch(tenant, 'stripe', '[{\"event_id\": \"one\", \"stream\": \"s\"}, {\"event_id\": \"two\", \"stream\": \"s\"}]'))"), 'recorded', 'events of a stream');
is(for_tenants("(SELECT outcome FROM webhook_inbox_record(tenant, 'stripe', 'short', processed => true, ttl => '0'))"), 'recorded', 'events that have expired');

refuses('SELECT idempotency_sweep()', 'idempotency_sweep refuses to sweep all tenants at once');
ask('CALL idempotency_sweep_each_tenant()');
is(ask("SELECT (SELECT count(*) FROM idempotency_keys WHERE key = 'short'), (SELECT count(*) FROM webhook_inbox WHERE event_id = 'short')"), '0|0', '... so they are swept one by one');
is(ask('SELECT (SELECT count(*) FROM idempotency_keys), (SELECT count(*) FROM webhook_inbox)'), join('|', $tenants, 3 * $tenants), '... and all else is left');

refuses("CALL webhook_inbox_process('handle(webhook_event)')", 'webhook_inbox_process refuses to process those of all tenants');
refuses('SELECT webhook_inbox_fetch(10)', '... and webhook_inbox_fetch to fetch them');
my @fetched;
while (my @some = split /\n/, ask("SELECT tenant_id || ' ' || event_id FROM webhook_inbox_fetch_each_tenant(7)"))
{
	cmp_ok(scalar(@some), '<=', 7, 'at most as many as wanted are fetched of one after the other');
	push @fetched, @some;
}
is(join("\n", sort @fetched), join("\n", sort map { ("tenant$_ alone", "tenant$_ one") } 1 .. $tenants),
	'... until each event was handed out that waits for no other, once');
is(ask("SELECT count(*) FROM webhook_inbox_fetch_each_tenant(7, 'github')"), '0', '... also of a source');

# all leases are over
ask(q{UPDATE webhook_inbox SET due_at = now() WHERE state = 'processing'});
ask("CALL webhook_inbox_process_each_tenant('handle(webhook_event)', 'stripe')");
is(ask('SELECT count(*), count(DISTINCT event_id) FROM handled'), join('|', (2 * $tenants) x 2), '... so those of a source are processed tenant by tenant');

ask("SET idempotency.webhook_max_attempts = 1; CALL webhook_inbox_process_each_tenant('failing(webhook_event)')");
is(ask("SELECT count(*) FROM webhook_inbox WHERE state = 'dead'"), $tenants, 'the others fail');
refuses('SELECT webhook_inbox_requeue_dead()', 'webhook_inbox_requeue_dead refuses to requeue those of all tenants');
is(ask("SELECT webhook_inbox_requeue_dead('tenant1')"), '1', '... but of one');
is(ask("SELECT webhook_inbox_requeue_dead_each_tenant('github')"), $tenants - 1, '... and tenant by tenant');

# A stream that never runs empty: what is finished passes on its turn.
ask(q{SELECT count(*) FROM webhook_inbox_record_batch('tenant2', 'long', (SELECT jsonb_agg(jsonb_build_object('event_id', i::text, 'stream', 's', 'sequence', i)) FROM generate_series(1, 30) AS i))});
ask(q{SELECT event_id AS id, token FROM webhook_inbox_fetch(1, 'long', 'tenant2') \gset
	SELECT webhook_inbox_complete('tenant2', 'long', :'id', :token)}) foreach 1 .. 20;
is(ask("SELECT count(*), count(due_at) FROM webhook_inbox WHERE source = 'long' AND state = 'processed'"), '20|1', 'of the finished events of a stream the last one has a turn');

is(ask("SELECT idempotency_forget_tenant('tenant1')"), '4', 'a tenant is forgotten');
is(ask('SELECT (SELECT count(DISTINCT tenant_id) FROM idempotency_keys), (SELECT count(DISTINCT tenant_id) FROM webhook_inbox)'),
	join('|', ($tenants - 1) x 2), '... and only that one');

$cluster->stop;
done_testing();
