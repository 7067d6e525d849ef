# Recorders that deliver webhook events, all of them at least twice, and workers
# that process these in each way of working, while accidents happen to them; and
# what must be true in the end.  Handlers fail now and then and leases lapse under
# their holders.
package Workers;
use strict;
use warnings;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Storm ();
use Test::More;

our $settings = q{
	restart_after_crash = on
	log_statement = none
	log_line_prefix = '%e '
	idempotency.webhook_lease = '1 s'
	idempotency.webhook_backoff_base = '10 ms'
	idempotency.webhook_backoff_max = '50 ms'
	idempotency.webhook_max_attempts = 1000000};

# What the server's log may tell of.
our %expected_errors = (
	'XX999' => 'a handler failed',
	'IK004' => 'a holder was late',
	'57P01' => 'terminated',
	'57P02' => 'the server crashed',
	'57P03' => 'the server is not up',
	'08006' => 'the client is gone');

# What is where the events are.
my $handling = q{
	CREATE TABLE handled (id bigint GENERATED ALWAYS AS IDENTITY, tenant_id text, source text, event_id text,
		stream text, sequence bigint, late boolean, attempt int);

	CREATE FUNCTION handle(e webhook_event) RETURNS void
	LANGUAGE plpgsql AS $$
	BEGIN
		INSERT INTO handled (tenant_id, source, event_id, stream, sequence, late, attempt)
		VALUES (e.tenant_id, e.source, e.event_id, e.stream, e.sequence, e.late, e.attempt);
		IF random() < 0.3 THEN
			PERFORM pg_sleep(0.01 * random());
		END IF;
		IF random() < 0.02 THEN
			RAISE EXCEPTION 'failed' USING ERRCODE = 'XX999';
		END IF;
	END $$;

	CREATE FUNCTION process_event(tenant_id text, event json) RETURNS void
	LANGUAGE plpgsql AS $$
	DECLARE
		e webhook_event := json_populate_record(NULL::webhook_event, event);
	BEGIN
		PERFORM handle(e);
		PERFORM webhook_inbox_complete(e.tenant_id, e.source, e.event_id, e.token);
	END $$;

	-- Whether no worker has taken the event yet.
	CREATE FUNCTION is_waiting(tenant_id text, source text, event_id text) RETURNS boolean
	LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM FROM webhook_inbox AS i
		WHERE i.tenant_id = is_waiting.tenant_id AND i.source = is_waiting.source AND i.event_id = is_waiting.event_id
			AND state = 'pending' FOR SHARE SKIP LOCKED;
		RETURN FOUND;
	END $$;
};

# What is called there, from elsewhere, too.
our $routed = '{"process_event(text,json)","is_waiting(text,text,text)"}';

# What is delivered, by which of four recorders, and in which order of places.
# Each tenant and source has the same names.  In streams 1 to 10 all is in
# order.  In the others the higher of two sequences comes before the lower; and
# streams 21 to 25 are shared by all recorders.  What would be stream 0 is in
# none.
my $delivering = q{
	CREATE TABLE deliveries AS
	SELECT tenant_id, source, s || '-' || n AS event_id,
		CASE WHEN s > 0 THEN 's' || s END AS stream, CASE WHEN s > 0 THEN n END AS sequence,
		s BETWEEN 1 AND 10 AS in_order, place,
		(CASE WHEN s <= 20 THEN s ELSE s + place / 2 END) % 4 AS recorder
	FROM unnest(string_to_array('%TENANTS%', ' ')) AS tenant_id, unnest(ARRAY['stripe', 'github']) AS source,
		generate_series(0, 25) AS s, generate_series(1, %EVENTS%) AS n,
		LATERAL (SELECT CASE WHEN s <= 10 THEN n ELSE n + n % 2 END AS place) AS p;

	-- Ten places in batches, the next ten one by one: what is in order with
	-- some delay before the commit, so that workers get there first; a lower
	-- sequence as soon as a worker has the higher one.
	CREATE PROCEDURE deliver(_recorder int)
	LANGUAGE plpgsql AS $$
	DECLARE
		d record;
	BEGIN
		FOR block IN 0 .. %EVENTS% / 10 LOOP
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
						EXIT WHEN NOT is_waiting(d.tenant_id, d.source, d.event_id);
						COMMIT;
						PERFORM pg_sleep(0.001);
					END LOOP;
				END LOOP;
			END IF;
		END LOOP;
	END $$;

	-- Now and then with a lease that won't last, or of one tenant or source.
	CREATE FUNCTION take() RETURNS json
	LANGUAGE sql AS $$
		SELECT coalesce(json_agg(e), '[]')
		FROM webhook_inbox_fetch(1 + floor(3 * random())::int,
			source => (ARRAY['stripe', 'github'])[ceil(4 * random())],
			tenant_id => (string_to_array('%TENANTS%', ' '))[ceil(2 * array_length(string_to_array('%TENANTS%', ' '), 1) * random())],
			lease => CASE WHEN random() < 0.2 THEN interval '1 ms' END) AS e
	$$;

	CREATE FUNCTION process_events(events json) RETURNS void
	LANGUAGE plpgsql AS $$
	DECLARE
		event json;
	BEGIN
		FOR event IN SELECT json_array_elements(events) LOOP
			PERFORM process_event(event ->> 'tenant_id', event);
		END LOOP;
	END $$;

	CREATE FUNCTION give_back(events json) RETURNS void
	LANGUAGE sql AS $$
		SELECT webhook_inbox_fail(tenant_id, source, event_id, token, 'failed')
		FROM json_populate_recordset(NULL::webhook_event, events)
	$$;
};

# How a worker may work.
my @ways = (
	# in one transaction
	q{
	\set events []
	BEGIN;
	SELECT take() AS events \gset
	SELECT process_events(:'events');
	COMMIT;
	},
	# under a lease
	q{
	\set events []
	SELECT take() AS events \gset
	BEGIN;
	SELECT process_events(:'events');
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

# Makes what the events are handled with on a server that has the extension.
sub prepare
{
	my ($node) = @_;
	$node->safe_psql('postgres', $handling);
}

# Of the server that all of them connect to, where the options are the tenants,
# how many events there are in each stream, and where CALLs go, if not there.
sub new
{
	my ($class, $node, %options) = @_;
	my $self = bless { node => $node, sessions => [], %options }, $class;

	(my $sql = $delivering) =~ s/%TENANTS%/@{ $options{tenants} }/g;
	$sql =~ s/%EVENTS%/$options{events}/g;
	$node->safe_psql('postgres', $sql);
	$self->{total} = $node->safe_psql('postgres', 'SELECT count(*) FROM deliveries');
	return $self;
}

# A session is a script that psql runs.  What it runs into is in the server's
# log.
sub run_session
{
	my ($session) = @_;
	$session->{run} = IPC::Run::start(
		[ 'psql', '-Xq', '-v', "ON_ERROR_STOP=$session->{ends}", '-d', $session->{node}->connstr('postgres'), '-f', $session->{script} ],
		'<', '/dev/null', '>', '/dev/null', '2>', '/dev/null');
}

sub add_session
{
	my ($self, $node, $script, $ends) = @_;
	my $session = { node => $node, script => $self->{node}->basedir . '/session' . @{ $self->{sessions} } . '.sql', ends => $ends };
	append_to_file($session->{script}, $script);
	run_session($session);
	push @{ $self->{sessions} }, $session;
}

sub start
{
	my ($self) = @_;
	my @call_on = @{ $self->{call_on} // [ $self->{node} ] };

	$self->add_session($self->{node}, "CALL deliver($_);\n" x 2, 1) foreach 0 .. 3;
	foreach my $worker (0 .. 7)
	{
		my $way = $ways[ $worker % @ways ];
		my $node = $way =~ /CALL/ ? $call_on[ $worker / @ways % @call_on ] : $self->{node};
		$self->add_session($node, $way x 100, 0);
	}
}

sub running
{
	my ($self) = @_;
	return grep { defined $_->{run} } @{ $self->{sessions} };
}

# Runs again what has stopped, but for a recorder that got to its end.
sub restart_sessions
{
	my ($self) = @_;
	foreach my $session (grep { !$_->{run}->pumpable } $self->running)
	{
		my $succeeded = $session->{run}->finish;
		delete $session->{run};
		run_session($session) unless $succeeded && $session->{ends};
	}
}

# Kills one of the clients.
sub kill_client
{
	my ($self) = @_;
	my @running = $self->running;
	$running[ rand @running ]{run}->signal('KILL');
	return 1;
}

# Runs again what has stopped, and tells how many events are processed, and
# whether that is all there will be.
sub look
{
	my ($self) = @_;
	$self->restart_sessions;
	my $is_delivered = !grep { $_->{ends} } $self->running;
	my ($result, $out) = $self->{node}->psql('postgres', q{
		SELECT count(*) FILTER (WHERE state = 'processed'), count(*) FILTER (WHERE state IN ('pending', 'processing'))
		FROM webhook_inbox});
	return (0, 0) if $result != 0;
	my ($processed, $unfinished) = split /\|/, $out;
	return ($processed, $is_delivered && $unfinished == 0);
}

# Lets accidents happen to them until they are done.
sub ride_out
{
	my ($self, @accidents) = @_;
	my ($is_done, $accidents_left) = Storm::ride_out(sub { return $self->look; }, @accidents);

	$_->{run}->kill_kill foreach $is_done ? () : $self->running;
	$_->{run}->finish foreach $self->running;
	ok($is_done, 'everything is delivered, and nothing is unfinished');
	is($accidents_left, 0, '... after all accidents');
}

# Tests what there is in the end.
sub check
{
	my ($self) = @_;
	my $ask = sub { return $self->{node}->safe_psql('postgres', $_[0]); };

	is($ask->('SELECT state, count(*) FROM webhook_inbox GROUP BY 1 ORDER BY 1'),
		"processed|$self->{total}", 'every event is processed')
	  or diag $ask->(q{SELECT * FROM webhook_inbox WHERE state <> 'processed' LIMIT 10});
	is($ask->(q{
			SELECT count(*) FROM deliveries LEFT JOIN handled USING (tenant_id, source, event_id) WHERE handled IS NULL}),
		'0', '... with an effect');
	is($ask->(q{
			SELECT count(*) - count(DISTINCT (tenant_id, source, event_id)) FROM handled}),
		'0', '... and with one only');

	is($ask->(q{
			SELECT count(*) FROM (
				SELECT d.sequence < lag(d.sequence) OVER (PARTITION BY tenant_id, source, d.stream ORDER BY id) OR late AS wrong
				FROM handled JOIN deliveries AS d USING (tenant_id, source, event_id) WHERE in_order) AS e
			WHERE wrong}),
		'0', 'what was delivered in order is processed in order');

	# Among those with a higher sequence that were processed earlier.
	my $overtaken_by = q{
		FROM handled AS y
		WHERE (y.tenant_id, y.source, y.stream) = (x.tenant_id, x.source, x.stream) AND y.sequence > x.sequence AND y.id < x.id};

	is($ask->("SELECT count(*) FROM handled AS x WHERE late AND NOT EXISTS (SELECT $overtaken_by)"),
		'0', 'what is late comes after a higher sequence');

	is($ask->("SELECT count(*) FROM handled AS x WHERE NOT late AND EXISTS (SELECT $overtaken_by)"),
		'0', '... and what is not late does not');

	is($ask->('SELECT bool_or(late), bool_or(attempt > 1) FROM handled'),
		't|t', 'some were late, and some handed out twice');

	is($ask->('SELECT count(*) FROM webhook_inbox_fetch()'), '0', 'there is nothing more to fetch');
	is($ask->('SELECT count(*) FROM webhook_inbox WHERE due_at IS NOT NULL'),
		'0', '... nor to look at');
}

1;
