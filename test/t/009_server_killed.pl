# The whole server is killed twenty times under its clients, in the middle of
# their work.  Nothing that they were told is lost, and nothing is done twice.
use strict;
use warnings;
use File::Basename qw(dirname);
use lib dirname(__FILE__) . '/../perl';
use Clients;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Storm qw(kill_server log_tells_only);
use Test::More;
use Time::HiRes qw(usleep);

my $kills = 20;

my $node = PostgreSQL::Test::Cluster->new('killed');
$node->init;
my $clients = Clients->new($node, clients => 8, keys => 700);

# At any moment from here on, but only if clients got answers since.
sub kill_and_start
{
	usleep(rand 20_000);
	kill_server($node);
	$node->start;
	return 1;
}

$clients->start($node->connstr('postgres'), '--prepare');
$clients->ride_out(map { [ $_ * $clients->total / ($kills + 1), \&kill_and_start ] } 1 .. $kills);
$clients->check($node);

log_tells_only(
	$node,
	{   '40001' => 'overtaken',
		'40P01' => 'in a deadlock',
		'IK004' => 'a holder was late',
		'57P03' => 'the server is not up',
		'08006' => 'the client is gone' });
is(scalar(() = slurp_file($node->logfile) =~ /database system was interrupted/g), $kills, "killed $kills times");

$node->stop;
done_testing();
