# A new library is installed and the extension updated under open sessions: they go
# on with what they hold, and the update waits for what it has to.  The next version
# is a made-up one.
use strict;
use warnings;
use File::Basename qw(dirname);
use lib dirname(__FILE__) . '/../perl';
use AllCalls qw(create_all_calls $all_answers);
use Catalog qw(catalog differences);
use NextVersion;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $next = NextVersion->new($PostgreSQL::Test::Utils::tmp_check . '/update');
my ($version, $next_version) = @{$next}{qw(version next_version)};
my $node = PostgreSQL::Test::Cluster->new('update', install_path => $next->{path});
$node->init;
$node->append_conf('postgresql.conf', q{
	max_prepared_transactions = 10
	deadlock_timeout = '1 h'});
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION idempotency;
	CREATE ROLE app;
	SELECT idempotency_grant('app', 'app');
	CREATE TABLE effects (event_id text);
	CREATE FUNCTION handle(e webhook_event) RETURNS void LANGUAGE sql AS $$
		SELECT pg_advisory_xact_lock_shared(1);
		INSERT INTO effects VALUES (e.event_id) $$;});
create_all_calls($node);

sub session
{
	return $node->background_psql('postgres', on_error_stop => 0, extra_params => [ '-v', 'VERBOSITY=sqlstate' ]);
}

# What a session is answered, or the error's SQLSTATE.
sub ask
{
	my ($session, $sql) = @_;
	my $answer = $session->query($sql);
	($answer) = $1 if $session->{stderr} =~ /ERROR:  (\w{5})/;
	$session->{stderr} = '';
	return $answer;
}

# Begins statements whose answer will be asked for later, by an empty one.  Returns
# when the last one waits for a lock, or has done so.
sub begin_to_wait
{
	my ($session, $sql) = @_;
	my $pid = ask($session, 'SELECT pg_backend_pid()');
	my ($last) = $sql =~ /([^;]+)$/;
	$session->query_until(qr/begun/, "\\echo begun\n$sql;\n");
	$node->poll_query_until('postgres', qq{
		SELECT wait_event_type = 'Lock' OR state <> 'active' FROM pg_stat_activity
		WHERE pid = $pid AND trim(rtrim(query, ';')) = trim(\$query\$$last\$query\$)});
	return $pid;
}

my $names = 0;

sub gets_right_answers
{
	my ($session, $who) = @_;
	is(ask($session, "SELECT all_calls('name " . $names++ . "')"), $all_answers, $who);
}

sub version
{
	return $node->safe_psql('postgres', q{SELECT extversion FROM pg_extension WHERE extname = 'idempotency'});
}

sub claim
{
	my ($key) = @_;
	return "SELECT outcome, response_body FROM idempotency_claim('acme', '$key', '{\"n\": 1}')";
}

my $update = "ALTER EXTENSION idempotency UPDATE TO '$next_version'";
my $complete = q{SELECT idempotency_complete('acme', key, token, 200, 'by ' || key) FROM idempotency_keys WHERE key};

# With the old library: a session that has all its plans; a transaction that holds a
# key, a prepared one, a committed lease, an event with a worker, a snapshot.
my $old = session();
is(ask($old, q{SELECT DISTINCT all_calls('warm ' || i) FROM generate_series(1, 10) AS i}), $all_answers, 'a session with plans');
ask($old, q{
	PREPARE claim(text) AS SELECT * FROM idempotency_claim('acme', $1, '{"n": 1}');
	PREPARE lookup(text) AS SELECT * FROM idempotency_lookup('acme', $1);
	PREPARE take AS SELECT * FROM webhook_inbox_fetch(1, 'nothing')});
ask($old, 'EXECUTE claim(1); EXECUTE lookup(1); EXECUTE take;') foreach 1 .. 10;
ask($old, claim('leased'));

my $holder = session();
is(ask($holder, 'BEGIN; ' . claim('open')), 'claimed|', 'a transaction holds a key');
my $other = session();
is(ask($other, 'BEGIN; ' . claim('prepared')), 'claimed|', 'another');
is(ask($other, "$complete = 'prepared'; PREPARE TRANSACTION 'p'"), 'completed', '... and is prepared');
is(ask($other, 'BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM effects'), '0', 'a snapshot');
my $worker = session();
is(ask($worker, q{SELECT outcome FROM webhook_inbox_record('acme', 'work', '1'); SELECT attempt FROM webhook_inbox_fetch(1, 'work')}),
	"recorded\n1", 'an event is fetched');
my $processor = session();
my $gate = session();
ask($gate, 'SELECT pg_advisory_lock(1)');
ask($gate, "SELECT outcome FROM webhook_inbox_record('acme', 'queue', '$_')") foreach 1 .. 3;
begin_to_wait($processor, "CALL webhook_inbox_process('handle(webhook_event)', 'queue')");

# The new library, the old SQL.
$next->build($node);
$next->install;
my $new = session();
is(ask($new, 'SELECT count(fmgr_c_validator(oid)) > 30 FROM pg_proc WHERE probin IS NOT NULL'), 't', 'the new library has all functions of the old one');
gets_right_answers($new, '... and answers right');
gets_right_answers($old, '... beside the old one');
is(NextVersion::library_of(ask($old, 'SELECT pg_backend_pid()')), 'old', '... which open sessions keep');
is(NextVersion::library_of(ask($new, 'SELECT pg_backend_pid()')), 'new', '... and new ones do not have');
ask($_, q{SET lock_timeout = '10 s'}) foreach $old, $new;
is(ask($new, claim('open')), 'in_progress|', '... it sees which keys are held with the old one');
is(ask($new, claim('prepared')), 'in_progress|', '... also by a prepared transaction');
is(ask($new, 'BEGIN; ' . claim('new')), 'claimed|', '... a key that is held with it');
is(ask($old, claim('new')), 'in_progress|', '... is seen so with the old one');
ask($new, 'ROLLBACK');
ask($_, 'RESET lock_timeout') foreach $old, $new;

# The update waits for the open claim, and others queue up behind it.
my $updater = session();
is(ask($updater, "SET lock_timeout = '100 ms'; $update"), '55P03', 'the update gives up after its lock_timeout');
is(ask($updater, 'RESET lock_timeout; SELECT 1'), '1', '... without one');
my $pid = begin_to_wait($updater, $update);
is(ask($new, "SET lock_timeout = '100 ms'; " . claim('behind')), '55P03', '... a claim queues up behind it');
is(ask($holder, claim('by the holder')), 'claimed|', '... but for those of the transaction it waits for');
$node->safe_psql('postgres', "SELECT pg_cancel_backend($pid)");
is(ask($updater, ''), '57014', '... until it is cancelled');
is(ask($new, 'RESET lock_timeout; ' . claim('behind')), 'claimed|', '... then claims are answered');
is(version(), $version, '... and nothing has changed');

begin_to_wait($updater, "BEGIN; $update");
begin_to_wait($new, claim('behind the next'));
ask($holder, "$complete = 'open'; COMMIT");
$node->safe_psql('postgres', q{COMMIT PREPARED 'p'});
ask($updater, '');
gets_right_answers($updater, 'the update goes on when all of them have ended');
is(ask($updater, 'SELECT idempotency_next(); ROLLBACK'), 'from the new library', '... and is rolled back');
is(ask($new, ''), 'claimed|', '... and the claim behind it is answered');
is(ask($new, claim('open')), 'replay|by open', '... what was held is completed');
is(version(), $version, '... nothing has changed');
gets_right_answers($old, '... for a session with the old library');
gets_right_answers($updater, '... for the one that has rolled it back');

# Who holds one of the tables, and needs the other, which the update has by now.
is(ask($holder, q{BEGIN; SELECT outcome FROM webhook_inbox_record('acme', 'deadlock', '1')}), 'recorded', 'an open transaction');
begin_to_wait($updater, "SET lock_timeout = '1 s'; $update");
is(ask($holder, claim('deadlock')), 'claimed|', '... gets what the update holds, for it gives up first');
ask($holder, 'COMMIT');
is(ask($updater, ''), '55P03', '... by its lock_timeout');

# What does not hold the tables is not waited for.
my $rows = q{SELECT pg_relation_filenode('idempotency_keys'), pg_relation_filenode('webhook_inbox')};
my $files = ask($old, $rows);
my $rights = q{SELECT oid, proacl FROM pg_proc WHERE probin = 'idempotency' AND proname <> 'idempotency_next' ORDER BY oid};
my $granted = ask($old, $rights);
my $prepared = q{EXECUTE claim('open'); EXECUTE lookup('open'); EXECUTE take};
my $before = ask($old, $prepared);
is(ask($old, $update), '42883', 'a session with the old library cannot update');
is(ask($updater, $update), '', 'the update');
is(version(), $next_version, '... is made');
is(ask($old, $rows), $files, '... no table was rewritten');
is(ask($old, q{
		SELECT DISTINCT next, created_at < now() FROM idempotency_keys UNION ALL SELECT DISTINCT next::text, received_at < now() FROM webhook_inbox}),
	"none|t\n0|t", '... each row has the new column');
gets_right_answers($old, '... a session with the old library is answered right');
gets_right_answers($new, '... one with the new library');
gets_right_answers($other, '... a transaction that began before, with an older snapshot');
is(ask($other, q{SELECT state FROM idempotency_lookup('acme', 'leased'); COMMIT}), 'in_progress', '... and still sees what was there');
is(ask($old, $prepared), $before, '... prepared statements give the same columns');
is(ask($worker, q{SELECT webhook_inbox_complete('acme', 'work', '1', token) FROM webhook_inbox WHERE source = 'work'}), '', '... a worker completes its event');
is(ask($old, "$complete = 'leased'"), 'completed', '... a holder his key');
is(ask($gate, 'SELECT pg_advisory_unlock_all()'), '', '... a handler that was at work');
is(ask($processor, ''), '', '... ends');
is(ask($old, 'SELECT event_id, count(*) FROM effects GROUP BY 1 ORDER BY 1'), "1|1\n2|1\n3|1", '... with one effect for each event');
is(ask($old, q{SELECT source, state, count(*) FROM webhook_inbox WHERE source IN ('work', 'queue') GROUP BY 1, 2 ORDER BY 1}),
	"queue|processed|3\nwork|processed|1", '... which are processed');
is(ask($new, 'SELECT idempotency_next()'), 'from the new library', '... a new function is there');
is(ask($old, 'SELECT idempotency_next()'), '42883', '... but not in sessions with the old library');
gets_right_answers($old, '... which are none the worse for it');
is(ask($new, $rights), $granted, '... grants are kept');

$node->safe_psql('postgres', 'CREATE DATABASE updated TEMPLATE template0');
$node->safe_psql('postgres', 'CREATE DATABASE created TEMPLATE template0');
$node->safe_psql('updated', "CREATE EXTENSION idempotency VERSION '$version'; $update");
$node->safe_psql('created', 'CREATE EXTENSION idempotency');
my ($updated, $created) = map { catalog($node, $_) } 'updated', 'created';
ok($updated eq $created, '... an updated database is as a new one') or diag differences($created, $updated);

# In one session.
is(ask($new, "DROP EXTENSION idempotency CASCADE; CREATE EXTENSION idempotency VERSION '$version'"), '', 'dropped, and created anew');
gets_right_answers($_, '... it answers right') foreach $new, $old;
is(ask($new, 'ALTER EXTENSION idempotency UPDATE'), '', '... and updated');
gets_right_answers($_, '... it does, too') foreach $new, $old;

$_->quit foreach $old, $new, $holder, $other, $worker, $processor, $gate, $updater;
$node->stop;
done_testing();
