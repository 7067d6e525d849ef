# No space left on the device, for the data, then for the WAL.  The server is a
# real one; the errors are injected into it by full_disk.c, as a small disk
# would need root.
use strict;
use warnings;
use File::Basename qw(dirname);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $full_disk = PostgreSQL::Test::Utils::tempdir;
command_ok([ 'cc', '-Wall', '-Werror', '-shared', '-fPIC', '-o', "$full_disk/full_disk.so", dirname(__FILE__) . '/../full_disk/full_disk.c', '-ldl' ],
	'a library that makes a disk full');

my $node = PostgreSQL::Test::Cluster->new('full_disk');
$node->init(extra => ['--wal-segsize=1']);
# a new segment is one that needs space
$node->append_conf('postgresql.conf', q{
	autovacuum = off
	wal_recycle = off});

sub start
{
	local $ENV{FULL_DISK} = $full_disk;
	local $ENV{LD_PRELOAD} = "$full_disk/full_disk.so";
	$node->start;
}

sub fill { append_to_file("$full_disk/$_[0]", ''); }
sub make_space { unlink "$full_disk/$_[0]" or die "no $full_disk/$_[0]: $!"; }

# Runs statements, the last of which must find no space.
sub finds_no_space
{
	my ($sql, $name) = @_;
	my ($result, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n$sql");
	like($err, qr/\A\S+ ERROR:  53100: .*: No space left on device\n/, $name);
	return $out;
}

start();
$node->safe_psql('postgres', q{
	CREATE EXTENSION idempotency;
	CREATE TABLE effects (key text, padding text);
	CREATE FUNCTION large() RETURNS text LANGUAGE sql AS $$ SELECT string_agg(md5(i::text), '') FROM generate_series(1, 2000) AS i $$;
	CREATE FUNCTION handle(request jsonb) RETURNS idempotency_response
	LANGUAGE plpgsql AS $$
	BEGIN
		INSERT INTO effects VALUES (request ->> 'key', large());
		RETURN (201, NULL::jsonb, 'done: ' || (request ->> 'key'));
	END $$;
	CREATE FUNCTION handle(e webhook_event) RETURNS void
	LANGUAGE sql AS $$ INSERT INTO effects VALUES (e.event_id, large()) $$;

	SELECT idempotency_complete('acme', 'done', token, 201, 'done') FROM idempotency_claim('acme', 'done', '{"n": 1}');
	SELECT idempotency_claim('acme', 'held', '{"n": 1}');
	SELECT webhook_inbox_record('acme', 's', 'event');

	-- room for a short row
	INSERT INTO effects VALUES ('');
	DELETE FROM effects;
});

# The data.
fill('base');
finds_no_space(q{SELECT idempotency_execute('acme', 'work', '{"key": "work"}', 'handle(jsonb)')}, 'work that needs space fails');
is( $node->safe_psql('postgres', q{
		SELECT count(*), (SELECT count(*) FROM effects) FROM idempotency_lookup('acme', 'work')}),
	'0|0', '... and leaves neither key nor effect');
is( finds_no_space(q{
		BEGIN;
		INSERT INTO effects VALUES ('held') RETURNING key;
		SELECT idempotency_complete('acme', 'held', token, 200, large()) FROM idempotency_keys WHERE key = 'held'},
		'a response that needs space is not stored'),
	'held', '... though there was some for the work');
is( $node->safe_psql('postgres', q{
		SELECT state, (SELECT count(*) FROM effects) FROM idempotency_lookup('acme', 'held')}),
	'in_progress|0', '... the key is still held, and the work undone');
$node->safe_psql('postgres', q{CALL webhook_inbox_process('handle(webhook_event)')});
is( $node->safe_psql('postgres', q{
		SELECT state, attempt, last_error LIKE '%No space left on device', (SELECT count(*) FROM effects) FROM webhook_inbox}),
	'pending|1|t|0', 'an event whose effects need space has failed, and will be retried');
finds_no_space(q{
	SELECT webhook_inbox_record_batch('acme', 's', jsonb_agg(jsonb_build_object('event_id', i::text))) FROM generate_series(1, 1000) AS i},
	'a batch that needs space is not recorded');
finds_no_space(q{SELECT webhook_inbox_record('acme', 's', 'large', to_jsonb(large()))}, '... nor is an event');
is($node->safe_psql('postgres', 'SELECT event_id FROM webhook_inbox'), 'event', '... nor any part of it');
is( $node->safe_psql('postgres', q{
		SELECT outcome, response_body FROM idempotency_claim('acme', 'done', '{"n": 1}')
		UNION ALL SELECT outcome, NULL FROM idempotency_claim('acme', 'held', '{"n": 1}')
		UNION ALL SELECT outcome, NULL FROM idempotency_claim('acme', 'held', '{"n": 2}')}),
	"replay|done\nin_progress|\nmismatch|", 'what is known is answered');

# One after the other, until there is no room in a page, and further.
my ($result, $out, $err) = $node->psql('postgres', join '',
	map { "SELECT key FROM (SELECT 'k$_' AS key) AS k, idempotency_claim('acme', key) WHERE outcome = 'claimed';\n" } 1 .. 300);
my @errors = split /\n/, $err;
unlike($err, qr/ERROR:(?!.*No space left on device)/, 'claims fail for no other reason');
cmp_ok(scalar(@errors), '>', 0, '... and some do');
is( $node->safe_psql('postgres', q{SELECT key FROM idempotency_keys WHERE key LIKE 'k%' ORDER BY created_at}),
	$out, '... those that were given are there, and no others');

make_space('base');
is( $node->safe_psql('postgres', q{
		SELECT outcome, count(*) FROM generate_series(1, 300) AS i, idempotency_claim('acme', 'k' || i) GROUP BY 1 ORDER BY 1}),
	join("\n", 'claimed|' . (300 - split /\n/, $out), 'in_progress|' . split /\n/, $out), 'once there is space, the others are claimed');
is( $node->safe_psql('postgres', q{
		SELECT outcome, response_body FROM idempotency_execute('acme', 'work', '{"key": "work"}', 'handle(jsonb)')
		UNION ALL SELECT idempotency_complete('acme', 'held', token, 200, large()), NULL FROM idempotency_keys WHERE key = 'held'
		UNION ALL SELECT outcome, NULL FROM webhook_inbox_record('acme', 's', 'large', to_jsonb(large()))}),
	"executed|done: work\ncompleted|\nrecorded|", '... the work is done, answered and recorded');
$node->safe_psql('postgres', q{SET idempotency.clock_offset = '1 h'; CALL webhook_inbox_process('handle(webhook_event)')});
is($node->safe_psql('postgres', 'SELECT key, count(*) FROM effects GROUP BY 1 ORDER BY 1'), "event|1\nlarge|1\nwork|1", '... once');

# The WAL.  Without it the server goes down.
my $execute = q{SELECT response_body, outcome FROM idempotency_execute('acme', 'wal %d', '{"key": "wal %1$d"}', 'handle(jsonb)');};
my $count = 300;
$node->safe_psql('postgres', 'SELECT pg_switch_wal(); ' . sprintf $execute, 0);	# begins a segment
fill('pg_wal');
($result, $out, $err) = $node->psql('postgres', join "\n", map { sprintf $execute, $_ } 1 .. $count);
my @done = $out =~ /^done: wal (\d+)\|executed$/mg;
is($result, 2, 'the server goes down when there is no space for its WAL');
cmp_ok(scalar(@done), '>', 0, '... after some work was done');
cmp_ok(scalar(@done), '<', $count, '... but not all');
my $deadline = time() + $PostgreSQL::Test::Utils::timeout_default;
usleep(10_000) while -e $node->data_dir . '/postmaster.pid' && time() < $deadline;
$node->stop('immediate', fail_ok => 1);
like(slurp_file($node->logfile), qr/PANIC: .*No space left on device/, '... and says why');

make_space('pg_wal');
start();
my @retried = split /\n/, $node->safe_psql('postgres', join "\n", map { sprintf $execute, $_ } 1 .. $count);
is(join(' ', grep { !/\|replay$/ } @retried[ 0 .. $#done ]), '', 'what was answered before is replayed');
is(join(' ', grep { !/\|executed$/ } @retried[ @done + 1 .. $#retried ]), '', '... what was not reached is done');
is( $node->safe_psql('postgres', q{
		SELECT count(*), count(DISTINCT key) FROM effects WHERE key LIKE 'wal %' AND key <> 'wal 0'}),
	"$count|$count", '... and each has one effect');

$node->stop;
done_testing();
