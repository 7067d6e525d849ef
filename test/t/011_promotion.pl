# The primary is killed under its clients, and its synchronous standby promoted.
# The clients know both addresses, and go on where they can write.
use strict;
use warnings;
use File::Basename qw(dirname);
use File::Copy qw(copy);
use lib dirname(__FILE__) . '/../perl';
use Clients;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Storm qw(kill_server log_tells_only);
use Test::More;

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 1);
$primary->append_conf('postgresql.conf', q{
	max_connections = 30
	shared_buffers = '16 MB'});
my $clients = Clients->new($primary, clients => 8, keys => 600);

# The standby has to have applied what the primary says is committed.  It won't
# have such a standby itself.
$primary->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'backup', has_streaming => 1);
$standby->start;
$primary->append_conf('postgresql.conf', q{
	synchronous_commit = remote_apply
	synchronous_standby_names = '*'});
$primary->reload;
$primary->poll_query_until('postgres', q{SELECT sync_state = 'sync' FROM pg_stat_replication})
  or die 'the standby is not synchronous';

# Tests that the standby knows the answers that were written down so far.
sub look_at_standby
{
	my ($when) = @_;
	my $answers = $primary->basedir . '/answers';

	copy($clients->notes('answers'), $answers) or die $!;
	is( $standby->safe_psql('postgres', qq[
		SELECT count(*) > 0, count(*) FILTER (WHERE (state, response_body) IS DISTINCT FROM ('completed', note[4]))
		FROM string_to_table(pg_read_file('$answers'), E'\\n') AS line, string_to_array(line, E'\\t') AS note
			LEFT JOIN LATERAL idempotency_lookup('acme', note[2]) ON true
		WHERE line LIKE '%}']),
		't|0', "$when: the standby knows all answers");
	my ($result, $out, $err) = $standby->psql('postgres',
		"\\set VERBOSITY verbose\nSELECT outcome FROM idempotency_claim('acme', 'k')");
	like($err, qr/25006.*HINT: +Send the call to the primary/s, '... and a claim on it is told where to go');
	return 1;
}

sub fail_over
{
	kill_server($primary);
	look_at_standby('the primary is dead');
	$standby->promote;
	return 1;
}

$clients->start(
	sprintf('host=%s,%s port=%d,%d dbname=postgres target_session_attrs=read-write',
		map({ $_->host } $primary, $standby), map({ $_->port } $primary, $standby)),
	'--prepare');
$clients->ride_out(
	(map { [ $_ * $clients->total / 10, sub { look_at_standby('under load'); } ] } 1 .. 4),
	[ $clients->total / 2, \&fail_over ]);
$clients->check($standby);

my %expected = (
	'25006' => 'a standby',
	'40001' => 'overtaken',
	'40P01' => 'in a deadlock',
	'IK004' => 'a holder was late',
	'08006' => 'the client is gone');
log_tells_only($primary, \%expected);
log_tells_only($standby, \%expected, '25006');

$standby->stop;
done_testing();
