# An event kills its own worker each time: it is dead after its last attempt,
# does not hold up those behind it, and can be requeued.
use strict;
use warnings;
use File::Basename qw(dirname);
use IPC::Run;
use lib dirname(__FILE__) . '/../perl';
use Crash qw(crash);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('dead');
$node->init;
$node->append_conf('postgresql.conf', q{
	restart_after_crash = on
	idempotency.webhook_lease = '1 h'
	idempotency.webhook_max_attempts = 3});
$node->start;

# A handler's effect is the event's id.  It kills its own backend, which the
# program's parent is, as long as the event is poison.
$node->safe_psql('postgres', q{
	CREATE EXTENSION idempotency;
	CREATE TABLE poison AS SELECT 'poison' AS event_id;
	CREATE TABLE effects (event_id text);
	CREATE FUNCTION handle(e webhook_event) RETURNS void
	LANGUAGE plpgsql AS $$
	BEGIN
		INSERT INTO effects VALUES (e.event_id);
		IF e.event_id IN (SELECT event_id FROM poison) THEN
			COPY (SELECT) TO PROGRAM 'kill -KILL $PPID';
		END IF;
	END $$;
	SELECT outcome FROM webhook_inbox_record('acme', 'in_stream', 'poison', stream => 's', sequence => 1);
	SELECT outcome FROM webhook_inbox_record('acme', 'in_stream', 'next', stream => 's', sequence => 2);
	SELECT outcome FROM webhook_inbox_record('acme', 'in_none', 'poison');
});

# Every worker's clock is two hours ahead of the previous one's, so that its
# lease has lapsed.
my $hours = 0;

sub later
{
	my ($sql) = @_;
	$hours += 2;
	return "SET idempotency.clock_offset = '$hours h'; $sql";
}

# What has become of the events of a source.
sub events
{
	my ($source) = @_;
	return $node->safe_psql('postgres', qq{
		SELECT event_id, state, attempt, last_error FROM webhook_inbox WHERE source = '$source' ORDER BY sequence});
}

# In a stream, by the worker in SQL.
my $process = q{CALL webhook_inbox_process('handle(webhook_event)', source => 'in_stream')};
my $lapsed = 'lapsed: the worker died, or took too long';
my @errors = ('', "the lease of attempt 1 $lapsed", "the lease of attempt 2 $lapsed");
foreach my $attempt (1 .. 3)
{
	my $result;
	crash($node, sub { $result = $node->psql('postgres', later($process)); });
	is($result, 2, "in a stream: attempt $attempt kills its worker");
	is(events('in_stream'), "poison|processing|$attempt|$errors[$attempt - 1]\nnext|pending|0|", '... and is counted');
	$node->safe_psql('postgres', "SET idempotency.clock_offset = '$hours h'; $process");
	is($node->safe_psql('postgres', 'SELECT count(*) FROM effects'), '0', '... nothing is handed out while its lease lasts');
}
$node->safe_psql('postgres', later($process));
is(events('in_stream'), "poison|dead|3|the lease of attempt 3 $lapsed\nnext|processed|1|", '... then it is dead, and the next one processed');
is($node->safe_psql('postgres', 'SELECT * FROM effects'), 'next', '... with the effect of that only');

# In no stream, by a worker that is killed after its fetch.
foreach my $attempt (1 .. 3)
{
	my ($in, $out) = (later(q{
		SELECT 'pid ' || pg_backend_pid(), attempt FROM webhook_inbox_fetch(source => 'in_none');}) . "\n", '');
	my $worker = IPC::Run::start([ 'psql', '-XqAt', '-d', $node->connstr('postgres') ], '<', \$in, '>', \$out, '2>', '/dev/null');
	IPC::Run::pump($worker) until $out =~ /^pid (\d+)\|(\d+)$/m;
	is($2, $attempt, "in no stream: attempt $attempt");
	my $pid = $1;
	crash($node, sub { kill 'KILL', $pid; $worker->finish; });
}
is($node->safe_psql('postgres', later(q{SELECT count(*) FROM webhook_inbox_fetch(source => 'in_none')})),
	'0', '... is the last');
is(events('in_none'), "poison|dead|3|the lease of attempt 3 $lapsed", '... then it is dead');

# What was wrong has been put right.
$node->safe_psql('postgres', 'TRUNCATE poison, effects');
is($node->safe_psql('postgres', later(q{SELECT webhook_inbox_requeue('acme', 'in_stream', 'poison')})), 't', 'requeued');
is($node->safe_psql('postgres', later('SELECT webhook_inbox_requeue_dead()')), '1', '... and all others that are dead');
is(events('in_stream') . "\n" . events('in_none'),
	"poison|pending|0|the lease of attempt 3 $lapsed\nnext|processed|1|\npoison|pending|0|the lease of attempt 3 $lapsed",
	'... they begin anew');
$node->safe_psql('postgres', later(q{CALL webhook_inbox_process('handle(webhook_event)')}));
is($node->safe_psql('postgres', 'SELECT state, attempt, count(*) FROM webhook_inbox GROUP BY 1, 2'),
	'processed|1|3', '... and are processed');
is($node->safe_psql('postgres', 'SELECT event_id, count(*) FROM effects GROUP BY 1'), 'poison|2', '... with one effect each');

$node->stop;
done_testing();
