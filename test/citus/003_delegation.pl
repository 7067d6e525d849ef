# The functions on keys run on the tenant's node, and mean the same there.
use strict;
use warnings;
use File::Basename qw(dirname);
use IPC::Run;
use lib dirname(__FILE__) . '/../perl';
use CitusCluster;
use Functions;
use PostgreSQL::Test::Utils;
use Test::More;

my $cluster = CitusCluster->new('delegation', 2);
$cluster->start;
$cluster->safe_psql('postgres', 'CREATE EXTENSION idempotency');
$cluster->follow('distribute.sql', 'delegate.sql');

# What a client is told, and the SQLSTATE if that is an error.
sub ask
{
	my ($sql, $user) = @_;
	my ($status, $out, $err) = $cluster->psql('postgres', "\\set VERBOSITY sqlstate\n$sql",
		on_error_stop => 0, extra_params => $user ? [ '-U', $user ] : []);
	return $out . ($err =~ /ERROR:  (\w+)/ ? $1 : '');
}

# How many claims each node's functions have counted since the last time.
sub claims_by_node
{
	my @claims = map { $_->safe_psql('postgres', 'SELECT claimed FROM idempotency_stats; SELECT idempotency_stats_reset()') =~ s/\n//r }
	  $cluster->coordinator, $cluster->workers;
	return "@claims";
}

# A tenant of each worker.
my @tenants = map { my $port = $_->port; $cluster->safe_psql('postgres', qq{
	SELECT min(t) FROM unnest(ARRAY(SELECT 'tenant' || i FROM generate_series(1, 100) AS i)) AS t
	JOIN pg_dist_placement AS p ON p.shardid = get_shard_id_for_distribution_column('idempotency_keys', t)
	JOIN pg_dist_node USING (groupid) WHERE nodeport = $port}) } $cluster->workers;

# A function that takes a tenant is delegated, or is known to need locks that
# meet those of webhook_inbox_fetch.
my $delegated = $cluster->safe_psql('postgres', q{
	SELECT objid::regprocedure FROM pg_catalog.pg_dist_object
	WHERE classid = 'pg_proc'::regclass AND distribution_argument_index = 0 AND force_delegation ORDER BY 1});
my @expected = map { $_->{signature} } grep {
	my $first = $_->{arguments}[0];
	$first && $first->{name} eq 'tenant_id' && !$first->{is_optional}
	  && $_->{name} !~ /^webhook_inbox_/ && $_->{name} ne 'idempotency_forget_tenant' } extension_functions($cluster);
is($delegated, join("\n", @expected), 'every function on keys is delegated');

claims_by_node();
is(ask("SELECT outcome FROM idempotency_claim('$_', 'k')"), 'claimed', 'a key is claimed') foreach @tenants;
is(claims_by_node(), '0 1 1', '... on its tenant\'s node');
is(ask("BEGIN; SELECT outcome FROM idempotency_claim('$tenants[0]', 'b'); COMMIT"), 'claimed', 'also in a transaction block');
is(claims_by_node(), '0 1 0', '... on its tenant\'s node');
is(ask("PREPARE c AS SELECT outcome FROM idempotency_claim(\$1, \$2); EXECUTE c('$tenants[1]', 'p')"), 'claimed', 'and by a prepared statement');
is(claims_by_node(), '0 0 1', '... on its tenant\'s node');

# A duplicate of a key that an open transaction holds.
my ($in, $out) = ("BEGIN; SELECT outcome FROM idempotency_claim('$tenants[0]', 'open');\n", '');
my $holder = IPC::Run::start([ 'psql', '-XqAt', '-d', $cluster->connstr('postgres') ], '<', \$in, '>', \$out,
	IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
$holder->pump until $out =~ /claimed/;
is(ask("SET statement_timeout = '60 s'; SELECT outcome FROM idempotency_claim('$tenants[0]', 'open')"),
	'in_progress', 'a duplicate is answered while the first transaction is open');
$in .= "ROLLBACK;\n\\q\n";
$holder->finish;
is(ask("SELECT outcome FROM idempotency_claim('$tenants[0]', 'open')"), 'claimed', '... and claims once that has rolled back');

is(ask("SELECT idempotency_complete('$tenants[0]', 'k', 1)"), 'IK004', 'an outdated token is refused by its SQLSTATE');
is(ask("SELECT idempotency_complete('$tenants[0]', 'none', 1)"), 'IK005', '... and so is a key that does not exist');

# Settings
$cluster->safe_psql('postgres', "
	CREATE ROLE pinned LOGIN; SELECT idempotency_grant('pinned', 'app');
	ALTER ROLE pinned SET idempotency.tenant = '$tenants[0]'; ALTER ROLE pinned SET idempotency.lease = '7 s'");
is(ask("SELECT outcome FROM idempotency_claim('$tenants[1]', 'k')", 'pinned'), '42501', 'a role that is pinned to a tenant is pinned on the nodes');
is(ask("SELECT outcome FROM idempotency_claim('$tenants[0]', 'lease')", 'pinned'), 'claimed', '... and may claim for that tenant');
is(ask("SELECT lease_expires_at - created_at FROM idempotency_lookup('$tenants[0]', 'lease')"), '00:00:07', '... by the role\'s settings');
is(ask("SET idempotency.lease = '9 s'; SELECT outcome FROM idempotency_claim('$tenants[0]', 'session')"), 'claimed', 'the session\'s settings');
is(ask("SELECT lease_expires_at - created_at FROM idempotency_lookup('$tenants[0]', 'session')"), '00:30:00', '... are not known there');

# One transaction
$cluster->safe_psql('postgres', q{
	CREATE TABLE orders (tenant_id text COLLATE "C", id text);
	SELECT create_distributed_table('orders', 'tenant_id', colocate_with => 'idempotency_keys');
	CREATE ROLE anybody LOGIN; GRANT ALL ON orders TO anybody;
	SELECT idempotency_grant('anybody', 'app'), idempotency_grant('anybody', 'worker')});
is(ask("
	SELECT outcome FROM webhook_inbox_record('$tenants[0]', 'stripe', 'event');
	SELECT event_id, token FROM webhook_inbox_fetch(1, 'stripe', '$tenants[0]') \\gset
	BEGIN;
	SELECT outcome FROM idempotency_claim('$tenants[0]', 'order');
	INSERT INTO orders VALUES ('$tenants[0]', 'order');
	SELECT webhook_inbox_complete('$tenants[0]', 'stripe', :'event_id', :token);
	SELECT outcome FROM webhook_inbox_record('$tenants[0]', 'queue', 'message', processed => true);
	COMMIT", 'anybody'), "recorded\nclaimed\n\nrecorded", 'any role writes keys, events and what is colocated with the keys in one transaction');
is(ask("SELECT count(*) FROM orders"), '1', '... which commits');

$cluster->stop;
done_testing();
