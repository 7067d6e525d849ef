# The counters, and the log of outcomes.
use strict;
use warnings;
use Digest::SHA qw(sha256_hex);
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# What has been counted, without the zeros.
my $counted = q{
	SELECT string_agg(key || ' ' || value, ', ' ORDER BY ordinality)
	FROM idempotency_stats AS s, json_each_text(row_to_json(s)) WITH ORDINALITY
	WHERE key <> 'stats_reset' AND value <> '0'};

my $node = PostgreSQL::Test::Cluster->new('stats');
$node->init;
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'idempotency'\nlog_statement = none");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION idempotency');
is($node->safe_psql('postgres', $counted), '', 'nothing is counted at first');
# of 1024 databases: two times 8 bytes, and a number for each counter
is($node->safe_psql('postgres', q{
		SELECT size, (SELECT count(*) FROM json_object_keys(row_to_json(s))) FROM idempotency_stats AS s, pg_shmem_allocations WHERE name = 'idempotency'}),
	1024 * (16 + 8 * 15) . '|16', 'the memory is laid out as in all versions that share it');

$node->safe_psql('postgres', q{
	SELECT idempotency_complete('acme', 'a', token) FROM idempotency_claim('acme', 'a', '{"n": 1}');
	SELECT idempotency_claim('acme', 'a', '{"n": 1}') FROM generate_series(1, 2);
	SELECT idempotency_claim('acme', 'a', '{"n": 2}') FROM generate_series(1, 3);
	SELECT idempotency_claim('acme', 'b') FROM generate_series(1, 5);
	SELECT idempotency_complete('acme', 'c', token, 503) FROM idempotency_claim('acme', 'c');
	SELECT idempotency_release('acme', 'c', token) FROM idempotency_claim('acme', 'c');
	SELECT idempotency_claim('acme', 'd', '{}', lease => '0', keep_request => true);
	SELECT idempotency_claim_abandoned();
	SET idempotency.tombstone_ttl = '1h';
	SELECT idempotency_claim('acme', 'e', ttl => '0');
	SELECT idempotency_claim('acme', 'e') FROM generate_series(1, 2);
	RESET idempotency.tombstone_ttl;
	CREATE FUNCTION echo(request jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT request';
	SELECT idempotency_execute('acme', 'f', '1', 'echo(jsonb)') FROM generate_series(1, 2);});
is($node->safe_psql('postgres', $counted),
	'claimed 6, resumed 2, replayed 3, in_progress 4, mismatch 3, gone 2, completed 2, released 2',
	'claims are counted by their outcomes');

$node->psql('postgres', q{SELECT idempotency_heartbeat('acme', 'a', 1)});
$node->psql('postgres', q{SELECT idempotency_complete('acme', 'b', 1)});
$node->psql('postgres', q{BEGIN; SELECT idempotency_claim('acme', 'g'); ROLLBACK});
is($node->safe_psql('postgres', $counted),
	'claimed 7, resumed 2, replayed 3, in_progress 4, mismatch 3, gone 2, completed 2, released 2, claim_lost 2',
	'... outdated tokens, too, and what is rolled back');

is($node->safe_psql('postgres', q{
		SELECT idempotency_stats_reset();
		SELECT stats_reset > pg_postmaster_start_time() FROM idempotency_stats}) . $node->safe_psql('postgres', $counted),
	"\nt", 'a reset begins at zero');

$node->safe_psql('postgres', q{
	SET idempotency.webhook_max_attempts = 2;
	SELECT webhook_inbox_record('acme', 's', 'a') FROM generate_series(1, 3);
	SELECT webhook_inbox_record_batch('acme', 's', '[{"event_id": "a"}, {"event_id": "b", "stream": "x"}, {"event_id": "c"}]');
	SELECT webhook_inbox_complete('acme', 's', event_id, token) FROM webhook_inbox_fetch(1);
	SELECT webhook_inbox_fail('acme', 's', event_id, token, 'x', '0') FROM webhook_inbox_fetch(1, lease => '0');
	SELECT webhook_inbox_fetch(2, lease => '0');
	SELECT webhook_inbox_fetch(2, lease => '0');
	SET idempotency.clock_offset = '30 days';
	SELECT idempotency_sweep();});
is($node->safe_psql('postgres', $counted),
	'recorded 3, duplicate 3, fetched 5, retried 2, dead 1, swept 8',
	'events are counted, and what is swept');
$node->psql('postgres', q{SELECT webhook_inbox_complete('acme', 's', 'c', 1)});
like($node->safe_psql('postgres', $counted), qr/claim_lost 1/, '... and their outdated tokens');

$node->safe_psql('postgres', 'CREATE DATABASE other');
$node->safe_psql('other', q{CREATE EXTENSION idempotency; SELECT idempotency_claim('acme', 'a')});
is($node->safe_psql('other', $counted), 'claimed 1', 'each database has its own counters');
unlike($node->safe_psql('postgres', $counted), qr/claimed/, '... and no other');

# Sixteen sessions count at once.
my $script = $node->basedir . '/claim.sql';
append_to_file($script, q{DO $$ BEGIN FOR i IN 1 .. 2000 LOOP PERFORM idempotency_claim('acme', 'a'); END LOOP; END $$;});
$node->command_ok([ 'pgbench', '-n', '-c', 16, '-t', 5, '-f', $script, '-h', $node->host, '-p', $node->port, 'other' ], 'a storm');
is($node->safe_psql('other', $counted), 'claimed 1, in_progress 160000', 'none is lost in a storm');

$node->restart;
is($node->safe_psql('postgres', $counted), '', 'a restart begins at zero');

# The log.  The key itself is nowhere in it.
$node->append_conf('postgresql.conf', "idempotency.log_outcomes = 'replay, in_progress, duplicate'");
$node->reload;
my $start = -s $node->logfile;
my ($result, $out, $err) = $node->psql('postgres', q{
	SET client_min_messages = log;
	SELECT outcome FROM idempotency_claim('acme', 'key-4711', scope => 'orders');
	SELECT outcome FROM idempotency_claim('acme', 'key-4711', scope => 'orders');
	SELECT outcome FROM idempotency_execute(E'ac"me\\\\, \u00e4', 'key-4712', '1', 'echo(jsonb)');
	SELECT outcome FROM idempotency_execute(E'ac"me\\\\, \u00e4', 'key-4712', '1', 'echo(jsonb)');
	DO $$ BEGIN PERFORM webhook_inbox_record('acme', 'stripe', 'key-4713') FROM generate_series(1, 2); END $$;
	SELECT count(*) FROM webhook_inbox_record_batch('acme', 'stripe', '[{"event_id": "key-4714"}, {"event_id": "key-4714"}]');});
is($result . $err, '0', 'the client is told nothing');
my $log = substr(slurp_file($node->logfile), $start);
is_deeply(
	[ map { decode_json($_) } $log =~ /LOG:  idempotency: (.*)/g ],
	[
		{ outcome => 'in_progress', tenant => 'acme', scope => 'orders', key_sha256 => sha256_hex('key-4711') },
		{ outcome => 'replay', tenant => "ac\"me\\, \x{e4}", scope => '', key_sha256 => sha256_hex('key-4712') },
		{ outcome => 'duplicate', tenant => 'acme', source => 'stripe', event_id_sha256 => sha256_hex('key-4713') },
		{ outcome => 'duplicate', tenant => 'acme', source => 'stripe', event_id_sha256 => sha256_hex('key-4714') }
	],
	'one line of JSON for each of the outcomes that are asked for');
unlike($log, qr/key-471/, '... and no key');
$node->stop;

# Without preloading.
my $lazy = PostgreSQL::Test::Cluster->new('lazy');
$lazy->init;
$lazy->start;
$lazy->safe_psql('postgres', q{
	CREATE EXTENSION idempotency;
	SELECT idempotency_claim('acme', 'a')});
if ($lazy->safe_psql('postgres', 'SHOW server_version_num') >= 170000)
{
	is($lazy->safe_psql('postgres', $counted), 'claimed 1', 'from 17 on, nothing has to be preloaded');
	is($lazy->safe_psql('postgres', q{SELECT stats_reset <= clock_timestamp() FROM idempotency_stats}), 't', '... and the counters know since when');
}
else
{
	($result, $out, $err) = $lazy->psql('postgres', "\\set VERBOSITY verbose\nSELECT * FROM idempotency_stats");
	like($err, qr/55000: nothing is counted.*Add "idempotency" to shared_preload_libraries/s, 'before 17, the counters say what to do');
	($result, $out, $err) = $lazy->psql('postgres', "\\set VERBOSITY sqlstate\nSELECT idempotency_stats_reset()");
	like($err, qr/55000/, '... and so does the reset');
}
$lazy->stop;
done_testing();
