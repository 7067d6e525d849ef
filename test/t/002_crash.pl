# A holder dies with the server under it: SIGKILL to its backend.
use strict;
use warnings;
use File::Basename qw(dirname);
use IPC::Run;
use lib dirname(__FILE__) . '/../perl';
use Crash qw(crash);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('crash');
$node->init;
$node->append_conf('postgresql.conf', 'restart_after_crash = on');
$node->start;
$node->safe_psql('postgres',
	'CREATE EXTENSION idempotency; CREATE TABLE effects (what text)');

# Opens a session, runs statements in it, and returns it with its output.
sub session
{
	my ($sql) = @_;
	my $session = { in => $sql . "\n\\echo ready\n", out => '', err => '' };
	$session->{run} = IPC::Run::start(
		[ 'psql', '-XqAt', '-d', $node->connstr('postgres') ],
		'<', \$session->{in}, '>', \$session->{out}, '2>', \$session->{err});
	IPC::Run::pump($session->{run}) until $session->{out} =~ /^ready$/m;
	return $session;
}

# Kills the backend of a session.
sub kill_backend
{
	my ($session) = @_;
	my ($pid) = $session->{out} =~ /^pid (\d+)$/m;
	crash($node, sub { kill 'KILL', $pid; $session->{run}->finish; });
}

# One transaction: the claim goes down with the work.
my $s = session(q{
	SELECT 'pid ' || pg_backend_pid();
	BEGIN;
	SELECT outcome FROM idempotency_claim('acme', 'one', '{"n": 1}');
	INSERT INTO effects VALUES ('one');});
like($s->{out}, qr/^claimed$/m, 'one transaction: claimed');
is( $node->safe_psql('postgres',
		q{SELECT outcome FROM idempotency_claim('acme', 'one', '{"n": 1}')}),
	'in_progress', '... in progress while it is open');
kill_backend($s);
is( $node->safe_psql('postgres',
		q{SELECT outcome, attempt FROM idempotency_claim('acme', 'one', '{"n": 1}')}),
	'claimed|1', '... and free at once when its backend is killed');
is($node->safe_psql('postgres', 'SELECT count(*) FROM effects'), '0', '... with no effect');

# Two transactions: the claim is a lease, and the checkpoint survives.
$s = session(q{
	SELECT 'pid ' || pg_backend_pid();
	SELECT 'token ' || token FROM idempotency_claim('acme', 'two', '{"n": 1}', lease => '1h') \gset t_
	\echo :t_?column?
	SELECT idempotency_checkpoint('acme', 'two', token, 'charged', '{"id": "ch_1"}', lease => '1h') IS NOT NULL FROM idempotency_keys WHERE key = 'two';
	BEGIN;
	SELECT idempotency_complete('acme', 'two', token, 200, 'never committed') FROM idempotency_keys WHERE key = 'two';});
my $token = $node->safe_psql('postgres', q{SELECT token FROM idempotency_keys WHERE key = 'two'});
kill_backend($s);
is( $node->safe_psql('postgres',
		q{SELECT outcome, response_status FROM idempotency_claim('acme', 'two', '{"n": 1}')}),
	'in_progress|409', 'two transactions: protected while the lease lasts');
is( $node->safe_psql('postgres', q{
		SET idempotency.clock_offset = '2h';
		SELECT outcome, attempt, recovery_point, recovery_data
		FROM idempotency_claim('acme', 'two', '{"n": 1}', lease => '4h')}),
	'resumed|2|charged|{"id": "ch_1"}', '... then resumed from its checkpoint');
my ($result, $out, $err) = $node->psql('postgres', qq{
	\\set VERBOSITY sqlstate
	BEGIN;
	INSERT INTO effects VALUES ('late');
	SELECT idempotency_complete('acme', 'two', $token, 200, 'late');
	COMMIT;});
like($err, qr/IK004/, '... and the late holder is refused');
is($node->safe_psql('postgres', 'SELECT count(*) FROM effects'), '0', '... with all it wrote');

# The client dies instead, at each step of the transaction.
foreach my $step ('claim', 'work', 'complete')
{
	my $sql = q{BEGIN; SELECT outcome FROM idempotency_claim('acme', 'client', '{"n": 1}');};
	$sql .= q{INSERT INTO effects VALUES ('client');} if $step ne 'claim';
	$sql .= q{SELECT idempotency_complete('acme', 'client', token) FROM idempotency_keys WHERE key = 'client';}
	  if $step eq 'complete';
	$s = session($sql);
	$s->{run}->kill_kill(grace => 0);
	$node->poll_query_until('postgres', q{
		SELECT outcome = 'claimed' FROM idempotency_claim('acme', 'client', '{"n": 1}')});
	is( $node->safe_psql('postgres', q{
			SELECT idempotency_forget('acme', 'client'), (SELECT count(*) FROM effects)}),
		't|0', "client killed after $step: the key is free, nothing was done");
}

$node->stop;
done_testing();
