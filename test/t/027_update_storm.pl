# A new library is installed and the extension updated while many clients work, some
# with the old library and some with the new one.  The next version is a made-up one.
use strict;
use warnings;
use File::Basename qw(dirname);
use lib dirname(__FILE__) . '/../perl';
use Clients;
use NextVersion;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Storm qw(ask_of_backend log_tells_only);
use Test::More;

my $next = NextVersion->new($PostgreSQL::Test::Utils::tmp_check . '/update_storm');
my $node = PostgreSQL::Test::Cluster->new('update_storm', install_path => $next->{path});
$node->init;
my $clients = Clients->new($node, clients => 8, keys => 1200);
$next->build($node);

# How many clients' sessions have the old library, and how many the new one.
sub libraries
{
	my %count = (old => 0, new => 0, none => 0);
	$count{ NextVersion::library_of($_) }++ foreach split /\n/, $node->safe_psql('postgres', q{
		SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()});
	return @count{ 'old', 'new' };
}

# Installs the new library, once every client has loaded one: who loads it in the moment
# in which it is replaced gets an error.
sub install
{
	my ($old, $new) = libraries();
	return 0 if $old + $new < 8;
	$next->install;
	return 1;
}

# Terminates sessions, but leaves most.  Their clients connect again, and get the new
# library.
sub renew_some
{
	return 1 if (libraries())[0] <= 5;
	ask_of_backend($node, "pg_terminate_backend(pid, 1000 * $PostgreSQL::Test::Utils::timeout_default)");
	return 0;
}

sub update
{
	return $node->psql('postgres', q{
		SET lock_timeout = '1 s';
		ALTER EXTENSION idempotency UPDATE}) == 0;
}

# Tells whether some go on with each library.
sub both_work
{
	my ($old, $new) = libraries();
	return $old > 0 && $new > 0;
}

$clients->start($node->connstr('postgres'), '--prepare');
$clients->ride_out(
	[ $clients->total / 8, \&install ],
	[ $clients->total / 8, \&renew_some ],
	[ $clients->total / 3, \&update ],
	[ $clients->total / 2, \&both_work ]);
is($node->safe_psql('postgres', q{SELECT extversion FROM pg_extension WHERE extname = 'idempotency'}), $next->{next_version}, 'updated');
$clients->check($node, rare => 'resumed');

log_tells_only(
	$node,
	{   '40001' => 'overtaken',
		'40P01' => 'in a deadlock',
		'55P03' => 'the update gave up',
		'57P01' => 'terminated',
		'IK004' => 'a holder was late',
		'08006' => 'the client is gone' },
	'57P01');

$node->stop;
done_testing();
