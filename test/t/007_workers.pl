# Eight workers process 10,000 events in 100 streams, and 400 in none, while
# these are being delivered, all of them at least twice.  Sessions are terminated,
# clients and backends are killed, and once the server goes down.  Then each
# effect is counted: one for each event, and those of a stream in order.
use strict;
use warnings;
use File::Basename qw(dirname);
use lib dirname(__FILE__) . '/../perl';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Storm qw(ask_of_backend log_tells_only);
use Test::More;
use Workers;

my $node = PostgreSQL::Test::Cluster->new('workers');
$node->init;
$node->append_conf('postgresql.conf', $Workers::settings);
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION idempotency');
Workers::prepare($node);
my $workers = Workers->new($node, tenants => [ 'acme', 'globex' ], events => 100);

# What may happen; false if it couldn't.
my %accident = (
	terminate => sub { return ask_of_backend($node, 'pg_terminate_backend(pid)') eq 't'; },
	backend => sub {
		my $pid = ask_of_backend($node, 'pid');
		return $pid ne '' && kill('KILL', $pid);
	},
	client => sub { return $workers->kill_client; },
	server => sub {
		$node->stop('immediate');
		$node->start;
		return 1;
	});

$workers->start;
$workers->ride_out(
	map { [ $_ * $workers->{total} / 50, $accident{ $_ == 20 ? 'server' : $_ % 10 == 5 ? 'backend' : $_ % 2 ? 'client' : 'terminate' } ] } 1 .. 39);
$workers->check;

# Nobody met with anything but what this test does to them.
log_tells_only($node, \%Workers::expected_errors, 'XX999', 'IK004', '57P01');

$node->stop;
done_testing();
