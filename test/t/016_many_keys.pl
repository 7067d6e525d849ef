# Transactions with more keys, and more savepoints, than the lock table has room
# for.
use strict;
use warnings;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# What a transaction may lock of what it can do without, and some that others
# of its locks may come to.
my $max_locks = 10;
my $budget = 8 * $max_locks;
my $others = 8;
my $keys = 20_000;

my $node = PostgreSQL::Test::Cluster->new('many_keys');
$node->init;
$node->append_conf('postgresql.conf', qq{
	max_connections = 10
	max_locks_per_transaction = $max_locks
	log_statement = none});
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION idempotency');

# Runs something beside the open transaction, which it must not wait for.
sub beside
{
	my ($sql) = @_;
	my $timeout = "$PostgreSQL::Test::Utils::timeout_default s";
	return $node->safe_psql('postgres', "SET statement_timeout = '$timeout'; $sql");
}

sub count_locks
{
	my ($pid) = @_;
	return $node->safe_psql('postgres', "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = $pid");
}

my $run = 0;

# Runs a statement in a transaction, and looks what others can do meanwhile.
# Returns the transaction, still open.
sub large_transaction
{
	my ($set, $sql, $expected, $what) = @_;
	my $session = $node->background_psql('postgres', on_error_stop => 0);
	my $pid = $session->query("$set; SELECT pg_backend_pid()");
	$session->query('BEGIN');
	is($session->query($sql), $expected, $what);
	cmp_ok(count_locks($pid), '<=', $budget + $others, '... with no more locks than its share');
	$run++;
	is( beside(qq{$set; SELECT outcome, count(*)
			FROM generate_series(1, 100) AS i, idempotency_claim('acme', 'other ' || $run || '.' || i, ttl => '30 days') GROUP BY 1}),
		'claimed|100', '... others claim other keys meanwhile');
	return $session;
}

sub commit
{
	my ($session) = @_;
	$session->query('COMMIT');
	$session->quit;
}

# Claims.
my $transaction = large_transaction('', qq{
	SELECT outcome, count(*) FROM generate_series(1, $keys) AS i, idempotency_claim('acme', 'k' || i, '{"n": 1}') GROUP BY 1},
	"claimed|$keys", "one transaction claims $keys keys");
my $claim_first = q{SELECT outcome FROM idempotency_claim('acme', 'k1', '{"n": 1}')};
my $claim_last = qq{SELECT outcome FROM idempotency_claim('acme', 'k$keys', '{"n": 1}')};
is(beside($claim_first), 'in_progress', '... a duplicate of its first key is told at once');

# Whether or not it has to wait, where the transaction does without the lock.
my ($in, $last) = ("\\echo asks\n$claim_last;\n", '');
my $duplicate = IPC::Run::start([ 'psql', '-XqAt', '-d', $node->connstr('postgres') ], '<', \$in, '>', \$last);
IPC::Run::pump($duplicate) until $last =~ /asks/;
ok($node->poll_query_until('postgres', qq{
		SELECT count(*) = 1 FROM pg_stat_activity
		WHERE query LIKE \$\$$claim_last%\$\$ AND (state = 'idle' OR wait_event_type = 'Lock')}),
	'... one of its last key waits, or is told');
commit($transaction);
$duplicate->finish;
is($last, "asks\nin_progress\n", '... and does not get it, either');
is( $node->safe_psql('postgres', q{
		SELECT count(*), count(DISTINCT key), min(attempt), max(attempt) FROM idempotency_keys WHERE key LIKE 'k%'}),
	"$keys|$keys|1|1", '... each is claimed once');

# Completions.
$transaction = large_transaction('', q{
	SELECT outcome, count(*) FROM (SELECT * FROM idempotency_keys WHERE key LIKE 'k%' ORDER BY length(key), key) AS k,
		idempotency_complete('acme', key, token, 201, 'done: ' || key) AS outcome GROUP BY 1},
	"completed|$keys", "one transaction completes $keys keys");
is(beside($claim_first), 'in_progress', '... a duplicate of its first key is told at once');
commit($transaction);
is( $node->safe_psql('postgres', q{
		SELECT outcome, count(*) FROM idempotency_keys AS k, idempotency_claim('acme', key, '{"n": 1}') AS c
		WHERE key LIKE 'k%' AND c.response_body = 'done: ' || key GROUP BY 1}),
	"replay|$keys", '... each is replayed');

# Sweeps.
my $later = q{SET idempotency.clock_offset = '2 days'};
foreach my $half (1, 2)
{
	commit(large_transaction($later, q{SELECT * FROM idempotency_sweep(10000)}, '10000|0', "one transaction sweeps 10,000 keys, $half of 2"));
}
is( $node->safe_psql('postgres', "$later; SELECT * FROM idempotency_sweep(10000)"),
	'0|0', '... then there are no more');
is( $node->safe_psql('postgres', q{SELECT count(*) FROM idempotency_keys WHERE key LIKE 'k%'}),
	'0', '... and what had expired is gone');

$node->stop;
done_testing();
