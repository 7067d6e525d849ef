# Eight workers process 10,000 events in 100 streams, and 400 in none, while
# these are being delivered, all of them at least twice.  Handlers fail now and
# then and leases lapse under their holders; sessions are terminated, clients
# and backends are killed, and once the server goes down.  Then each effect is
# counted: one for each event, and those of a stream in order.
use strict;
use warnings;
use File::Basename qw(dirname);
use IPC::Run;
use lib dirname(__FILE__) . '/../perl';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Storm qw(ride_out ask_of_backend log_tells_only);
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('workers');
$node->init;
$node->append_conf('postgresql.conf', q{
	restart_after_crash = on
	log_statement = none
	log_line_prefix = '%e '
	idempotency.webhook_lease = '1 s'
	idempotency.webhook_backoff_base = '10 ms'
	idempotency.webhook_backoff_max = '50 ms'
	idempotency.webhook_max_attempts = 1000000});
$node->start;

# What is delivered, by which of four recorders, and in which order of places.
# Each tenant and source has the same names.  In streams 1 to 10 all is in
# order.  In the others the higher of two sequences comes before the lower; and
# streams 21 to 25 are shared by all recorders.  What would be stream 0 is in
# none.
$node->safe_psql('postgres', q{
	CREATE EXTENSION idempotency;

	CREATE TABLE deliveries AS
	SELECT tenant_id, source, s || '-' || n AS event_id,
		CASE WHEN s > 0 THEN 's' || s END AS stream, CASE WHEN s > 0 THEN n END AS sequence,
		s BETWEEN 1 AND 10 AS in_order, place,
		(CASE WHEN s <= 20 THEN s ELSE s + place / 2 END) % 4 AS recorder
	FROM unnest(ARRAY['acme', 'globex']) AS tenant_id, unnest(ARRAY['stripe', 'github']) AS source,
		generate_series(0, 25) AS s, generate_series(1, 100) AS n,
		LATERAL (SELECT CASE WHEN s <= 10 THEN n ELSE n + n % 2 END AS place) AS p;

	-- Ten places in batches, the next ten one by one: what is in order with
	-- some delay before the commit, so that workers get there first; a lower
	-- sequence as soon as a worker has the higher one.
	CREATE PROCEDURE deliver(_recorder int)
	LANGUAGE plpgsql AS $$
	DECLARE
		d record;
	BEGIN
		FOR block IN 0 .. 10 LOOP
			IF (block + _recorder) % 2 = 0 THEN
				PERFORM webhook_inbox_record_batch(tenant_id, source, jsonb_agg(
					jsonb_build_object('event_id', event_id, 'stream', stream, 'sequence', sequence) ORDER BY random()))
				FROM deliveries WHERE recorder = _recorder AND place / 10 = block GROUP BY tenant_id, source;
				COMMIT;
			ELSE
				FOR d IN
					SELECT * FROM deliveries WHERE recorder = _recorder AND place / 10 = block
					ORDER BY place, md5(tenant_id || source || stream), sequence DESC
				LOOP
					CONTINUE WHEN (webhook_inbox_record(d.tenant_id, d.source, d.event_id,
						stream => d.stream, sequence => d.sequence)).outcome = 'duplicate';
					IF d.in_order THEN
						PERFORM pg_sleep(0.002);
					END IF;
					COMMIT;
					WHILE NOT d.in_order AND d.sequence = d.place LOOP
						PERFORM FROM webhook_inbox AS i
						WHERE i.tenant_id = d.tenant_id AND i.source = d.source AND i.event_id = d.event_id
							AND state = 'pending' FOR SHARE SKIP LOCKED;
						EXIT WHEN NOT FOUND;
						COMMIT;
						PERFORM pg_sleep(0.001);
					END LOOP;
				END LOOP;
			END IF;
		END LOOP;
	END $$;

	CREATE TABLE effects (id bigint GENERATED ALWAYS AS IDENTITY, tenant_id text, source text, event_id text,
		stream text, sequence bigint, late boolean, attempt int);

	CREATE FUNCTION handle(e webhook_event) RETURNS void
	LANGUAGE plpgsql AS $$
	BEGIN
		INSERT INTO effects (tenant_id, source, event_id, stream, sequence, late, attempt)
		VALUES (e.tenant_id, e.source, e.event_id, e.stream, e.sequence, e.late, e.attempt);
		IF random() < 0.3 THEN
			PERFORM pg_sleep(0.01 * random());
		END IF;
		IF random() < 0.02 THEN
			RAISE EXCEPTION 'failed' USING ERRCODE = 'XX999';
		END IF;
	END $$;

	-- Now and then with a lease that won't last, or of one tenant or source.
	CREATE FUNCTION take() RETURNS json
	LANGUAGE sql AS $$
		SELECT coalesce(json_agg(e), '[]')
		FROM webhook_inbox_fetch(1 + floor(3 * random())::int,
			source => (ARRAY['stripe', 'github'])[ceil(4 * random())],
			tenant_id => (ARRAY['acme', 'globex'])[ceil(4 * random())],
			lease => CASE WHEN random() < 0.2 THEN interval '1 ms' END) AS e
	$$;

	CREATE FUNCTION work(events json) RETURNS void
	LANGUAGE plpgsql AS $$
	DECLARE
		e webhook_event;
	BEGIN
		FOR e IN SELECT * FROM json_populate_recordset(NULL::webhook_event, events) LOOP
			PERFORM handle(e);
			PERFORM webhook_inbox_complete(e.tenant_id, e.source, e.event_id, e.token);
		END LOOP;
	END $$;

	CREATE FUNCTION give_back(events json) RETURNS void
	LANGUAGE sql AS $$
		SELECT webhook_inbox_fail(tenant_id, source, event_id, token, 'failed')
		FROM json_populate_recordset(NULL::webhook_event, events)
	$$;
});
my $total = $node->safe_psql('postgres', 'SELECT count(*) FROM deliveries');

# How a worker may work.
my @ways = (
	# in one transaction
	q{
	\set events []
	BEGIN;
	SELECT take() AS events \gset
	SELECT work(:'events');
	COMMIT;
	},
	# under a lease
	q{
	\set events []
	SELECT take() AS events \gset
	BEGIN;
	SELECT work(:'events');
	\set failed :ERROR
	COMMIT;
	\if :failed
	SELECT give_back(:'events');
	\endif
	},
	# in SQL
	q{
	CALL webhook_inbox_process('handle(webhook_event)', max_events => 20);
	});

# A session is a script that psql runs.  What it runs into is in the server's
# log.
my @sessions;

sub run_session
{
	my ($session) = @_;
	$session->{run} = IPC::Run::start(
		[ 'psql', '-Xq', '-v', "ON_ERROR_STOP=$session->{ends}", '-d', $node->connstr('postgres'), '-f', $session->{script} ],
		'<', '/dev/null', '>', '/dev/null', '2>', '/dev/null');
}

sub add_session
{
	my ($script, $ends) = @_;
	push @sessions, { script => $node->basedir . '/session' . @sessions . '.sql', ends => $ends };
	append_to_file($sessions[-1]{script}, $script);
	run_session($sessions[-1]);
}

sub running
{
	return grep { defined $_->{run} } @sessions;
}

# Runs again what has stopped, but for a recorder that got to its end.
sub restart_sessions
{
	foreach my $session (grep { !$_->{run}->pumpable } running())
	{
		my $succeeded = $session->{run}->finish;
		delete $session->{run};
		run_session($session) unless $succeeded && $session->{ends};
	}
}

# What may happen; false if it couldn't.
my %accident = (
	terminate => sub { return ask_of_backend($node, 'pg_terminate_backend(pid)') eq 't'; },
	backend => sub {
		my $pid = ask_of_backend($node, 'pid');
		return $pid ne '' && kill('KILL', $pid);
	},
	client => sub {
		my @running = running();
		$running[ rand @running ]{run}->signal('KILL');
		return 1;
	},
	server => sub {
		$node->stop('immediate');
		$node->start;
		return 1;
	});

# Runs again what has stopped, and tells how many events are processed, and
# whether that is all there will be.
sub look
{
	restart_sessions();
	my $is_delivered = !grep { $_->{ends} } running();
	my ($result, $out) = $node->psql('postgres', q{
		SELECT count(*) FILTER (WHERE state = 'processed'), count(*) FILTER (WHERE state IN ('pending', 'processing'))
		FROM webhook_inbox});
	return (0, 0) if $result != 0;
	my ($processed, $unfinished) = split /\|/, $out;
	return ($processed, $is_delivered && $unfinished == 0);
}

add_session("CALL deliver($_);\n" x 2, 1) foreach 0 .. 3;
add_session($ways[ $_ % @ways ] x 100, 0) foreach 0 .. 7;

my ($is_done, $accidents_left) = ride_out(\&look,
	map { [ $_ * $total / 50, $accident{ $_ == 20 ? 'server' : $_ % 10 == 5 ? 'backend' : $_ % 2 ? 'client' : 'terminate' } ] } 1 .. 39);
$_->{run}->kill_kill foreach $is_done ? () : running();
$_->{run}->finish foreach running();

ok($is_done, 'everything is delivered, and nothing is unfinished');
is($accidents_left, 0, '... after all accidents');
is($node->safe_psql('postgres', 'SELECT state, count(*) FROM webhook_inbox GROUP BY 1 ORDER BY 1'),
	"processed|$total", 'every event is processed')
  or diag $node->safe_psql('postgres', q{SELECT * FROM webhook_inbox WHERE state <> 'processed' LIMIT 10});
is( $node->safe_psql('postgres', q{
		SELECT count(*) FROM deliveries LEFT JOIN effects USING (tenant_id, source, event_id) WHERE effects IS NULL}),
	'0', '... with an effect');
is( $node->safe_psql('postgres', q{
		SELECT count(*) - count(DISTINCT (tenant_id, source, event_id)) FROM effects}),
	'0', '... and with one only');

is( $node->safe_psql('postgres', q{
		SELECT count(*) FROM (
			SELECT d.sequence < lag(d.sequence) OVER (PARTITION BY tenant_id, source, d.stream ORDER BY id) OR late AS wrong
			FROM effects JOIN deliveries AS d USING (tenant_id, source, event_id) WHERE in_order) AS e
		WHERE wrong}),
	'0', 'what was delivered in order is processed in order');

# Among those with a higher sequence that were processed earlier.
my $overtaken_by = q{
	FROM effects AS y
	WHERE (y.tenant_id, y.source, y.stream) = (x.tenant_id, x.source, x.stream) AND y.sequence > x.sequence AND y.id < x.id};

is( $node->safe_psql('postgres', "SELECT count(*) FROM effects AS x WHERE late AND NOT EXISTS (SELECT $overtaken_by)"),
	'0', 'what is late comes after a higher sequence');

is( $node->safe_psql('postgres', "SELECT count(*) FROM effects AS x WHERE NOT late AND EXISTS (SELECT $overtaken_by)"),
	'0', '... and what is not late does not');

is($node->safe_psql('postgres', 'SELECT bool_or(late), bool_or(attempt > 1) FROM effects'),
	't|t', 'some were late, and some handed out twice');

is($node->safe_psql('postgres', 'SELECT count(*) FROM webhook_inbox_fetch()'), '0', 'there is nothing more to fetch');
is($node->safe_psql('postgres', 'SELECT count(*) FROM webhook_inbox WHERE due_at IS NOT NULL'),
	'0', '... nor to look at');

# Nobody met with anything but what this test does to them.
log_tells_only(
	$node,
	{   'XX999' => 'a handler failed',
		'IK004' => 'a holder was late',
		'57P01' => 'terminated',
		'57P02' => 'the server crashed',
		'57P03' => 'the server is not up',
		'08006' => 'the client is gone' },
	'XX999', 'IK004', '57P01');

$node->stop;
done_testing();
