# Logical replication to a server that has the extension, too, and takes over.
# What its users have to know is in docs/logical_replication.md.
use strict;
use warnings;
use File::Basename qw(dirname);
use lib dirname(__FILE__) . '/../perl';
use EveryState;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $publisher = PostgreSQL::Test::Cluster->new('publisher');
$publisher->init(allows_streaming => 'logical');
$publisher->start;
my $subscriber = PostgreSQL::Test::Cluster->new('subscriber');
$subscriber->init;
$subscriber->append_conf('postgresql.conf', q{wal_retrieve_retry_interval = '100 ms'});
$subscriber->start;
$_->safe_psql('postgres', 'CREATE EXTENSION idempotency') foreach $publisher, $subscriber;

# Some rows are copied, the others follow as they are written.
$publisher->safe_psql('postgres', q{
	SELECT idempotency_complete('acme', 'copied', token, 200, 'done') FROM idempotency_claim('acme', 'copied', '{"n": 1}');
	SELECT idempotency_claim('acme', 'forgotten', '{"n": 1}');
	SELECT idempotency_claim('acme', 'reclaimed', '{"n": 1}', ttl => '0');
	SELECT webhook_inbox_record('acme', 'copied', '1', processed => true);
	CREATE PUBLICATION p FOR TABLE idempotency_keys, webhook_inbox;});
my $publisher_connstr = $publisher->connstr . ' dbname=postgres';
$subscriber->safe_psql('postgres', "CREATE SUBSCRIPTION s CONNECTION '$publisher_connstr' PUBLICATION p");
$subscriber->wait_for_subscription_sync($publisher, 's');
is(digest($subscriber, 'postgres'), digest($publisher, 'postgres'), 'the rows are copied');

# Checks that all has arrived.
sub arrives
{
	my ($what) = @_;
	$publisher->wait_for_catchup('s');
	is(digest($subscriber, 'postgres'), digest($publisher, 'postgres'), $what);
}

sub lookup
{
	my ($node) = @_;
	return $node->safe_psql('postgres', q{
		SELECT key, l.* FROM idempotency_keys, idempotency_lookup(tenant_id, key, scope) AS l ORDER BY tenant_id, key});
}

make_every_state($publisher, 'postgres');
arrives('claims, completions, events and what becomes of them arrive');
is(lookup($subscriber), lookup($publisher), '... and can be looked up');
is( $publisher->safe_psql('postgres', q{
		SELECT outcome FROM idempotency_claim('acme', 'reclaimed', '{"n": 2}', ttl => '0')}),
	'claimed', 'an expired key is reclaimed');
arrives('... which arrives');
is($publisher->safe_psql('postgres', q{SELECT idempotency_forget('acme', 'forgotten')}), 't', 'a key is forgotten');
arrives('... which arrives');
is( $subscriber->safe_psql('postgres', q{
		SELECT count(*) FROM idempotency_lookup('acme', 'forgotten')}),
	'0', '... and it is not found any more');

# Not to be done.
is($_->safe_psql('postgres', q{SELECT outcome FROM idempotency_claim('acme', 'both', '{"n": 1}')}),
	'claimed', 'a key is claimed on ' . $_->name) foreach $subscriber, $publisher;
$subscriber->wait_for_log(qr/duplicate key value violates unique constraint "idempotency_keys_pkey"|conflict detected on relation "public.idempotency_keys"/);
is($subscriber->safe_psql('postgres', q{SELECT idempotency_forget('acme', 'both')}), 't', '... and forgotten on one of them');
arrives('... so that the replication goes on');

# The switch-over.
my $answers = answers($publisher, 'postgres');
$publisher->wait_for_catchup('s');
$subscriber->safe_psql('postgres', 'DROP SUBSCRIPTION s');
$publisher->stop;

is(answers($subscriber, 'postgres'), $answers, 'the subscriber replays the answers byte for byte');
goes_on($subscriber, 'postgres');

$subscriber->stop;
done_testing();
