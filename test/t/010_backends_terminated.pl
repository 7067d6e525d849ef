# Backends are terminated, and their statements cancelled, at any moment and
# inside each of the calls that write a key.
use strict;
use warnings;
use File::Basename qw(dirname);
use lib dirname(__FILE__) . '/../perl';
use Clients;
use List::Util qw(min);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Storm qw(ask_of_backend log_tells_only);
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('terminated');
$node->init;
my $clients = Clients->new($node, clients => 8, keys => 900);

my @functions = ('pg_cancel_backend', 'pg_terminate_backend');
my @calls = map { "idempotency_$_" } 'claim', 'checkpoint', 'complete', 'execute';

# Stops all calls where they need the table, and interrupts one of each kind that
# is there.  Returns which, once it has given up its place in the queue.
$node->safe_psql('postgres', q{
	CREATE FUNCTION interrupt(function text, calls text[]) RETURNS SETOF text
	LANGUAGE plpgsql AS $$
	DECLARE
		victim record;
	BEGIN
		LOCK TABLE idempotency_keys IN SHARE MODE;
		PERFORM pg_sleep(0.02);
		FOR victim IN
			SELECT DISTINCT ON (call) call, pid, waitstart
			FROM pg_locks JOIN pg_stat_activity USING (pid) JOIN unnest(calls) AS call ON position(call || '(' IN query) > 0
			WHERE relation = 'idempotency_keys'::regclass AND waitstart IS NOT NULL
		LOOP
			EXECUTE format('SELECT %I($1)', function) USING victim.pid;
			WHILE EXISTS (SELECT FROM pg_locks WHERE (pid, waitstart) = (victim.pid, victim.waitstart)) LOOP
				PERFORM pg_sleep(0.001);
			END LOOP;
			RETURN NEXT victim.call;
		END LOOP;
	END $$});

my %hits = map { my $function = $_; map { ("$function in $_" => 0) } @calls } @functions;

# Interrupts calls, and whoever comes along.  Returns whether it has done so
# often enough.
sub interrupt
{
	foreach my $function (@functions)
	{
		my ($result, $calls) =
		  $node->psql('postgres', "SELECT interrupt('$function', '{@{[join ',', @calls]}}');\n" x 5);
		$hits{"$function in $_"}++ foreach split /\n/, $calls;
		ask_of_backend($node, "$function(pid)");
	}
	my $is_enough = min(values %hits) >= 3;
	note 'interrupted enough at ' . $clients->progress / $clients->total if $is_enough;
	return $is_enough;
}

$clients->start($node->connstr('postgres'), '--prepare');
$clients->ride_out([ 1, \&interrupt ]);
$clients->check($node);

log_tells_only(
	$node,
	{   '40001' => 'overtaken',
		'40P01' => 'in a deadlock',
		'57014' => 'cancelled',
		'57P01' => 'terminated',
		'IK004' => 'a holder was late',
		'08006' => 'the client is gone' },
	'57014', '57P01');
cmp_ok($hits{$_}, '>=', 3, $_) foreach sort keys %hits;

$node->stop;
done_testing();
