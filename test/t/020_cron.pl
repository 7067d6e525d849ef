# The real pg_cron runs the sweep on the schedule that the manual shows, as a
# role that may do no more than is granted there, while the claims go on.
use strict;
use warnings;
use File::Basename qw(dirname);
use lib dirname(__FILE__) . '/../perl';
use Documents;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($schedule) = grep { /cron\.schedule/ } map { $_->{sql} } sql_blocks('docs/operations.md');
ok($schedule, 'the manual shows a schedule') or BAIL_OUT('there is none');

my $node = PostgreSQL::Test::Cluster->new('cron');
$node->init;
$node->append_conf('postgresql.conf', q{
	shared_preload_libraries = 'pg_cron, idempotency'
	cron.use_background_workers = on
	idempotency.success_ttl = '1 s'});
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION idempotency;
	CREATE ROLE operator LOGIN;
	SELECT idempotency_grant('operator', 'admin');
	CREATE ROLE app LOGIN;
	SELECT idempotency_grant('app', 'app');
	SELECT count(idempotency_claim('acme', 'expired ' || i)) FROM generate_series(1, 1000) AS i;
	SELECT idempotency_claim('acme', 'alive', ttl => '1 day');
	SELECT webhook_inbox_record('acme', 's', 'e' || i, processed => true, ttl => '1 s') FROM generate_series(1, 100) AS i;
	SELECT webhook_inbox_record('acme', 's', 'waiting');});
$node->safe_psql('postgres', $schedule);

# Claims and redeliveries go on meanwhile, of keys and events that expire.
my $script = $node->basedir . '/storm.sql';
append_to_file($script, q{
	\set n random(1, 2000)
	SELECT idempotency_complete('acme', 'expired ' || :n, token) FROM idempotency_claim('acme', 'expired ' || :n) WHERE token IS NOT NULL;
	SELECT webhook_inbox_record('acme', 's', 'e' || :n, processed => true, ttl => '1 s');
});
my ($out, $err) = ('', '');
my $storm = IPC::Run::start(
	[ 'pgbench', '-n', '-c', 4, '-T', $PostgreSQL::Test::Utils::timeout_default, '-R', 400, '-f', $script, '-U', 'app', '-h', $node->host, '-p', $node->port, 'postgres' ],
	'>', \$out, '2>', \$err);

# (a first run may come before anything has expired)
ok( $node->poll_query_until('postgres', q{
		SELECT count(*) > 0 AND (SELECT swept >= 1000 FROM idempotency_stats)
		FROM cron.job_run_details WHERE status = 'succeeded'}),
	'pg_cron has swept');
is($node->safe_psql('postgres', q{SELECT DISTINCT username FROM cron.job_run_details}), 'operator', '... as the operator');
my $swept = $node->safe_psql('postgres', q{SELECT swept FROM idempotency_stats});
cmp_ok($swept, '>=', 1000, '... what had expired');
is($node->safe_psql('postgres', q{
		SELECT (SELECT count(*) FROM idempotency_keys WHERE key = 'alive'), (SELECT count(*) FROM webhook_inbox WHERE event_id = 'waiting')}),
	'1|1', '... and nothing else');
# (looked at before the storm is interrupted, which may leave errors)
unlike(slurp_file($node->logfile), qr/(ERROR|FATAL|PANIC): /, 'no claim and no record met with an error');
$storm->signal('INT');
$storm->finish;
$node->stop;
done_testing();
