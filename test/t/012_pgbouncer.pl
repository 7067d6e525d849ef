# Clients work through PgBouncer in transaction mode, on fewer connections than
# there are clients.  These are terminated now and then, and PgBouncer is killed
# once and started again.
use strict;
use warnings;
use File::Basename qw(dirname);
use IPC::Run;
use lib dirname(__FILE__) . '/../perl';
use Clients;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Storm qw(ask_of_backend log_tells_only);
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('pooled');
$node->init;
my $clients = Clients->new($node, clients => 8, keys => 600);

# Two roles that are held to one tenant each.  The clients are of the first.
$node->safe_psql('postgres', q{
	CREATE ROLE acme LOGIN;
	CREATE ROLE globex LOGIN;
	ALTER ROLE acme SET idempotency.tenant = 'acme';
	ALTER ROLE globex SET idempotency.tenant = 'globex';
	GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO acme, globex;
	GRANT SELECT, INSERT ON effects TO acme;
	GRANT SELECT, UPDATE ON counters TO acme;});

# Debian has it where a user's PATH may not lead.
local $ENV{PATH} = "$ENV{PATH}:/usr/sbin";
my ($version) = `pgbouncer --version` =~ /^PgBouncer (\d+\.\d+)/ or die 'there is no PgBouncer';
my $has_prepared_statements = PostgreSQL::Version->new($version) >= PostgreSQL::Version->new('1.22');
note "PgBouncer $version";

my $port = PostgreSQL::Test::Cluster::get_free_port();
my $folder = $node->basedir;
my $settings = $has_prepared_statements ? 'max_prepared_statements = 100' : '';
append_to_file("$folder/users", qq{"acme" ""\n"globex" ""\n});
append_to_file("$folder/pgbouncer.ini", qq{
[databases]
postgres = host=${\$node->host} port=${\$node->port}

[pgbouncer]
unix_socket_dir = ${\$node->host}
listen_port = $port
auth_type = trust
auth_file = $folder/users
logfile = $folder/pgbouncer.log
pool_mode = transaction
default_pool_size = 4
server_login_retry = 1
$settings
});

my $pooler;

sub start_pooler
{
	$pooler = IPC::Run::start([ 'pgbouncer', '-q', "$folder/pgbouncer.ini" ], '<', '/dev/null', '>&', "$folder/pgbouncer.err");
}

sub kill_pooler
{
	$pooler->signal('KILL');
	$pooler->finish;
	start_pooler();
	return 1;
}

# How to get through the pooler as a role.
sub connstr
{
	my ($role) = @_;
	return "host=${\$node->host} port=$port user=$role dbname=postgres";
}

# Tests that each role is held to its tenant, on whatever connection it gets.
sub look_at_pins
{
	foreach my $role ('acme', 'globex')
	{
		my $other = $role eq 'acme' ? 'globex' : 'acme';
		my ($result, $out, $err) = $node->psql('postgres', qq{
				\\set VERBOSITY sqlstate
				SELECT count(*) FROM idempotency_lookup('$role', 'k');
				SELECT count(*) FROM idempotency_lookup('$other', 'k');
				SET idempotency.tenant = '$other';
				RESET idempotency.tenant;
				DISCARD ALL;
				SELECT outcome FROM idempotency_claim('$other', 'k');},
			connstr => connstr($role), on_error_stop => 0);
		is($out, '0', "$role: its own tenant");
		is(scalar(() = $err =~ /ERROR:  42501/g), 4, '... and no other') or diag $err;
	}
	return 1;
}

start_pooler();
$clients->start(connstr('acme'), $has_prepared_statements ? '--prepare' : ());
my $terminate = sub { return ask_of_backend($node, 'pg_terminate_backend(pid)') eq 't'; };
$clients->ride_out(
	map { [ $_ * $clients->total / 30, $_ == 10 ? \&kill_pooler : $_ % 10 == 5 ? \&look_at_pins : $terminate ] } 1 .. 20);
$clients->check($node);

log_tells_only(
	$node,
	{   '40001' => 'overtaken',
		'40P01' => 'in a deadlock',
		'42501' => 'held to another tenant',
		'57P01' => 'terminated',
		'IK004' => 'a holder was late',
		'08006' => 'the client is gone' },
	'57P01');
is($node->safe_psql('postgres', q{SELECT count(*) BETWEEN 1 AND 4 FROM pg_stat_activity WHERE usename = 'acme'}),
	't', 'there are fewer connections than clients');

$pooler->signal('KILL');
$pooler->finish;
$node->stop;
done_testing();
