# No function leaks: ten thousand calls later a session has as much memory as
# before, whether they succeed or fail, in one statement or in as many
# transactions.
use strict;
use warnings;
use File::Basename qw(dirname);
use lib dirname(__FILE__) . '/../perl';
use Functions;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $warm_up = 1_000;
my $last = $warm_up + 10_000;
my $bound = 64 * 1024;

my $node = PostgreSQL::Test::Cluster->new('memory');
$node->init;
$node->append_conf('postgresql.conf', q{
	autovacuum = off
	log_statement = none
	shared_preload_libraries = 'idempotency'
	max_locks_per_transaction = 1000});
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION idempotency;

	-- What the session has, after some calls and after all.
	CREATE TABLE sample (i int, name text, bytes bigint);
	CREATE FUNCTION sampled(_i int) RETURNS boolean LANGUAGE plpgsql AS $$
	BEGIN
		IF _i IN (} . join(', ', $warm_up, $last) . q{) THEN
			INSERT INTO sample SELECT _i, name, sum(total_bytes) FROM pg_backend_memory_contexts GROUP BY name;
		END IF;
		RETURN true;
	END $$;

	CREATE FUNCTION key_token(_key text) RETURNS bigint LANGUAGE sql AS $$
		SELECT token FROM idempotency_keys WHERE tenant_id = 't' AND scope = '' AND key = _key $$;
	CREATE FUNCTION event_token(_event_id text) RETURNS bigint LANGUAGE sql AS $$
		SELECT token FROM webhook_inbox WHERE tenant_id = 't' AND source = 's' AND event_id = _event_id $$;

	CREATE FUNCTION respond(jsonb) RETURNS idempotency_response LANGUAGE sql AS $$
		SELECT 201, '{"a": "1", "set-cookie": "2"}'::jsonb, repeat('body', 100) $$;
	CREATE FUNCTION fail(jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RAISE 'failed'; END $$;
	CREATE FUNCTION handle(e webhook_event) RETURNS void LANGUAGE sql AS $$ SELECT $$;
	CREATE SEQUENCE handled;
	CREATE FUNCTION handle_and_sample(e webhook_event) RETURNS void LANGUAGE sql AS $$ SELECT sampled(nextval('handled')::int) $$;
});

my $request = q(jsonb_build_object('n', i, 'list', '[1, {"a": null}, "x"]'::jsonb));
my $body = q(repeat('body', 2000));
my $events = qq(jsonb_build_array(jsonb_build_object('event_id', 's' || i, 'stream', 'stream ' || i % 50, 'payload', $request),
	jsonb_build_object('event_id', 'u' || i, 'stream', 'stream ' || i % 50, 'sequence', i),
	jsonb_build_object('event_id', 'v' || i, 'processed', true, 'ttl', '1 h')));
my $headers = q('[{"Set-Cookie": "x"}, {"a": "b"}]');

# What is called, with i counting from 1: in a transaction for each call, all
# in one statement, and such that each call fails.  They are in the order of
# a key's and an event's life, for one leaves behind what the next one needs.
my @cases = (
	{ function => 'idempotency_activity()',
	  before => q{SELECT FROM idempotency_claim('a', 'a'), webhook_inbox_record('a', 'a', 'a')},
	  together => 'idempotency_activity()' },
	{ function => 'idempotency_stats()',
	  together => 'idempotency_stats()',
	  failing => q{idempotency_stats() FROM set_config('idempotency.tenant', 'acme', true)} },
	{ function => 'idempotency_stats_reset()',
	  together => 'idempotency_stats_reset()' },
	{ function => 'idempotency_request_hash(jsonb)',
	  together => "idempotency_request_hash($request)" },
	{ function => 'idempotency_derive_key(uuid,text[])',
	  together => q{idempotency_derive_key('6ba7b810-9dad-11d1-80b4-00c04fd430c8', i::text, 'a:b')},
	  failing => q{idempotency_derive_key('6ba7b810-9dad-11d1-80b4-00c04fd430c8', i::text, NULL)} },

	{ function => 'idempotency_claim(text,text,jsonb,text,interval,interval,interval,boolean)',
	  each => "idempotency_claim('t', 'k' || i, $request, keep_request => true)",
	  together => "idempotency_claim('t', 'k1', $request)",
	  failing => q{idempotency_claim('t', 'k' || i, lease => '-1 s')} },
	{ function => 'idempotency_heartbeat(text,text,bigint,text,interval)',
	  each => q{idempotency_heartbeat('t', 'k' || i, key_token('k' || i))},
	  together => q{idempotency_heartbeat('t', 'k' || i, key_token('k' || i))},
	  failing => q{idempotency_heartbeat('t', 'k1', 1)} },
	{ function => 'idempotency_checkpoint(text,text,bigint,text,jsonb,text,interval)',
	  each => q{idempotency_checkpoint('t', 'k' || i, key_token('k' || i), 'charged', '{"id": 1}')},
	  together => q{idempotency_checkpoint('t', 'k' || i, key_token('k' || i), 'charged', '{"id": 1}')},
	  failing => q{idempotency_checkpoint('t', 'none', 1, 'charged')} },
	{ function => 'idempotency_complete(text,text,bigint,integer,text,jsonb,text,interval)',
	  each => qq{idempotency_complete('t', 'k' || i, key_token('k' || i), 200, $body, $headers)},
	  together => qq{idempotency_complete('t', 'k' || i, key_token('k' || i), 200, $body, $headers)},
	  failing => q{idempotency_complete('t', 'k1', key_token('k1'), 200, 'other')} },
	{ function => 'idempotency_claim(text,text,jsonb,text,interval,interval,interval,boolean)', what => 'a replay',
	  together => "idempotency_claim('t', 'k' || i, $request)" },
	{ function => 'idempotency_lookup(text,text,text)',
	  together => q{idempotency_lookup('t', 'k' || i)},
	  failing => q{idempotency_lookup('t', E'\n')} },
	{ function => 'idempotency_forget(text,text,text)',
	  each => q{idempotency_forget('t', 'k' || i)},
	  together => q{idempotency_forget('t', 'k1')},
	  failing => q{idempotency_forget('', 'k1')} },
	{ function => 'idempotency_complete(text,text,bigint,integer,jsonb,jsonb,text,interval)',
	  each => q{idempotency_complete('t', 'j' || i, (idempotency_claim('t', 'j' || i)).token, 404, '{"a": [1]}'::jsonb)},
	  together => q{idempotency_complete('t', 'j1', key_token('j1'), 404, '{"a": [1]}'::jsonb)},
	  failing => q{idempotency_complete('t', 'j1', 1, 99, '{"a": [1]}'::jsonb)} },
	{ function => 'idempotency_complete(text,text,bigint,integer,bytea,jsonb,text,interval)',
	  each => q{idempotency_complete('t', 'b' || i, (idempotency_claim('t', 'b' || i)).token, 200, '\x00'::bytea)},
	  together => q{idempotency_complete('t', 'b1', key_token('b1'), 200, '\x00'::bytea)},
	  failing => q{idempotency_complete('t', 'b1', 1, 200, '\x00'::bytea, '[1]')} },
	{ function => 'idempotency_release(text,text,bigint,text)',
	  each => q{idempotency_release('t', 'r', (idempotency_claim('t', 'r')).token)},
	  failing => q{idempotency_release('t', 'r', 1)} },
	{ function => 'idempotency_execute(text,text,jsonb,regprocedure,text,interval,interval)',
	  each => "idempotency_execute('t', 'x' || i, $request, 'respond(jsonb)')",
	  together => "idempotency_execute('t', 'x' || i, $request, 'respond(jsonb)')",
	  failing => "idempotency_execute('t', 'y', $request, 'fail(jsonb)')" },
	{ function => 'idempotency_claim_abandoned(integer,text,text,interval)',
	  before => q{SELECT outcome FROM idempotency_claim('a', 'k', '{"n": 1}', lease => '0', keep_request => true)},
	  each => q{idempotency_claim_abandoned(1, 'a', lease => '0')},
	  together => q{idempotency_claim_abandoned(1, 'nobody')},
	  failing => q{idempotency_claim_abandoned(0)} },

	{ function => 'webhook_inbox_record(text,text,text,jsonb,text,jsonb,text,bigint,boolean,interval)',
	  each => "webhook_inbox_record('t', 's', 'e' || i, $request, 'type', '{}')",
	  together => "webhook_inbox_record('t', 's', 'e' || i, $request)",
	  failing => q{webhook_inbox_record('t', 's', 'e1', ttl => '-1 s')} },
	{ function => 'webhook_inbox_fetch(integer,text,text,interval)',
	  each => q{webhook_inbox_fetch(1, 's', 't', '1 h')},
	  together => q{webhook_inbox_fetch(1, 's', 'nobody')},
	  failing => q{webhook_inbox_fetch(0)} },
	{ function => 'webhook_inbox_fail(text,text,text,bigint,text,interval)',
	  each => q{webhook_inbox_fail('t', 's', 'e' || i, event_token('e' || i), 'failed', '0')},
	  failing => q{webhook_inbox_fail('t', 's', 'e1', 1, 'failed')} },
	{ function => 'webhook_inbox_complete(text,text,text,bigint)',
	  before => q{SELECT count(*) FROM webhook_inbox_fetch(1000000, 's', 't', '1 h')},
	  each => q{webhook_inbox_complete('t', 's', 'e' || i, event_token('e' || i))},
	  failing => q{webhook_inbox_complete('t', 's', 'e1', event_token('e1'))} },
	{ function => 'webhook_inbox_requeue(text,text,text)',
	  each => q{webhook_inbox_requeue('t', 's', 'e' || i)},
	  together => q{webhook_inbox_requeue('t', 's', 'none')},
	  failing => q{webhook_inbox_requeue('t', 's', '')} },
	{ function => 'webhook_inbox_requeue_dead(text,text,integer)',
	  together => q{webhook_inbox_requeue_dead('t', 's', 1)},
	  failing => q{webhook_inbox_requeue_dead('t', 's', 0)} },
	{ function => 'webhook_inbox_process(regprocedure,text,text,integer)',
	  each => q{webhook_inbox_process('handle(webhook_event)', 's', 't', 1)},
	  failing => q{webhook_inbox_process('fail(jsonb)')} },
	{ function => 'webhook_inbox_record_batch(text,text,jsonb)',
	  each => qq{webhook_inbox_record_batch('t', 'streams', $events)},
	  together => qq{webhook_inbox_record_batch('t', 'streams', $events)},
	  failing => q{webhook_inbox_record_batch('t', 'streams', '[{"event_id": "x"}, {"event_id": ""}]')} },
	{ function => 'webhook_inbox_fetch(integer,text,text,interval)', what => 'in streams',
	  each => q{webhook_inbox_complete('t', 'streams', event_id, token) FROM webhook_inbox_fetch(1, 'streams', 't')} },
	{ function => 'idempotency_sweep(integer)',
	  before => q{SELECT count(idempotency_claim('t', 'old ' || i, ttl => '0')), count(webhook_inbox_record('t', 's', 'old ' || i, processed => true, ttl => '0')) FROM generate_series(1, 25000) AS i},
	  each => q{idempotency_sweep(1)},
	  together => q{idempotency_sweep(1)},
	  failing => q{idempotency_sweep(0)} },
	{ function => 'idempotency_forget_tenant(text)',
	  each => q{idempotency_forget_tenant('t' || i) FROM idempotency_claim('t' || i, 'k'), webhook_inbox_record('t' || i, 's', 'e', stream => 'x')},
	  together => q{idempotency_forget_tenant('nobody')},
	  failing => q{idempotency_forget_tenant('')} },
	{ function => 'webhook_inbox_process(regprocedure,text,text,integer)', what => 'many events in one call',
	  alone => "webhook_inbox_process('handle_and_sample(webhook_event)', 'streams', 't', $last)" });

# How the calls are made.
my %way = (
	each => sub {
		my ($function, $call) = @_;
		my $verb = $function->{is_procedure} ? 'CALL' : 'PERFORM';
		return qq{
			DO \$do\$ BEGIN
				FOR i IN 1 .. $last LOOP
					$verb $call;
					PERFORM sampled(i);
					COMMIT;
				END LOOP;
			END \$do\$;};
	},
	together => sub {
		my ($function, $call) = @_;
		return "SELECT count(r) FROM (SELECT $call AS r FROM generate_series(1, $last) AS i WHERE sampled(i) OFFSET 0) AS c;";
	},
	failing => sub {
		my ($function, $call) = @_;
		# PL/pgSQL itself leaks when a CALL fails
		return "\\set ON_ERROR_STOP off\n" . join "\n", map { ("CALL $call;", "SELECT sampled($_);") } 1 .. $last
		  if $function->{is_procedure};
		return qq{
			DO \$do\$ BEGIN
				FOR i IN 1 .. $last LOOP
					BEGIN
						PERFORM $call;
						RAISE SQLSTATE 'ZZ999';
					EXCEPTION WHEN others THEN
						IF SQLSTATE = 'ZZ999' THEN RAISE; END IF;
					END;
					PERFORM sampled(i);
				END LOOP;
			END \$do\$;};
	},
	alone => sub {
		my ($function, $call) = @_;
		return "CALL $call;";
	});

# What the server itself piles up there: for PL/pgSQL's COMMIT; and in one
# transaction, lists of its locks and of what it has changed.
my %but = (
	each => [ 'SPI Proc' ],
	together => [ 'TopMemoryContext', 'TopTransactionContext', 'LOCALLOCK hash' ]);

my %functions = map { $_->{signature} => $_ } extension_functions($node);
my %is_tested = map { $_->{function} => 1 } @cases;
# these are PL/pgSQL's and the server's own
my $not_ours = qr/^idempotency_(grant|revoke|set_profile)\(/;
is(join("\n", grep { !$is_tested{$_} && !/$not_ours/ } sort keys %functions), '', 'each function has a case here');

foreach my $case (@cases)
{
	my $function = $functions{ $case->{function} } or BAIL_OUT("there is no $case->{function}");
	my $name = join ': ', $function->{name}, $case->{what} // ();

	foreach my $way (grep { $case->{$_} } 'each', 'together', 'failing', 'alone')
	{
		my $before = delete $case->{before} // 'SELECT';
		my $but = join ', ', map { "'$_'" } @{ $but{$way} // [''] };
		my ($status, $out, $err) = $node->psql('postgres', join "\n",
			'SET client_min_messages = error;', 'TRUNCATE sample;', "$before;",
			$way{$way}->($function, $case->{$way}), qq{
			WITH grown AS (SELECT name, sum(bytes * CASE i WHEN $last THEN 1 ELSE -1 END) AS bytes FROM sample WHERE name NOT IN ($but) GROUP BY name)
			SELECT 'grown by', (SELECT sum(bytes) FROM grown), name, bytes FROM grown ORDER BY 4 DESC LIMIT 1});
		my ($growth, $where) = $out =~ /^grown by\|(-?\d+)\|(.*)/m;
		my $failures = $way eq 'failing' && $function->{is_procedure} ? $last : 0;
		is(scalar(() = $err =~ /ERROR: /g), $failures, "$name, $way") or diag substr($err, 0, 1000);
		cmp_ok($growth, '<=', $bound, '... without a leak') or diag "most of it in $where";
	}
}

$node->stop;
done_testing();
