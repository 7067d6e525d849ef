# Many clients that ask for the same keys at once, in each way of working, and
# what must be true of their answers whatever happens meanwhile.  What they do
# is in ../clients/storm.py.
package Clients;
use strict;
use warnings;
use File::Basename qw(dirname);
use IPC::Run;
use PostgreSQL::Test::Utils;
use Storm ();
use Test::More;

my $program = dirname(__FILE__) . '/../clients/storm.py';
my @levels = ('READ_COMMITTED', 'REPEATABLE_READ', 'SERIALIZABLE');

my $settings = q{
	log_statement = none
	log_line_prefix = '%e '
	deadlock_timeout = '10 ms'
	idempotency.lease = '1 s'};

# What the clients work with, unless it is given.  Each effect counts twice, and
# gets in the way of others.  An answer's body is the effect as jsonb.
my $tables = q{
	CREATE EXTENSION idempotency;
	CREATE TABLE effects (id bigint GENERATED ALWAYS AS IDENTITY, key text, call bigint);
	CREATE TABLE counters AS SELECT id, 0 AS count FROM generate_series(1, 8) AS id;
	CREATE FUNCTION work(key text, call bigint DEFAULT NULL) RETURNS jsonb
	LANGUAGE sql AS $$
		UPDATE counters SET count = count + 1 WHERE id = (SELECT ceil(8 * random()));
		UPDATE counters SET count = count + 1 WHERE id = (SELECT ceil(8 * random()));
		INSERT INTO effects (key, call) VALUES (key, call) RETURNING to_jsonb(effects)
	$$;
	CREATE FUNCTION handle(request jsonb) RETURNS jsonb
	LANGUAGE sql AS $$
		SELECT work(request ->> 'key')
	$$;

	-- What has to be one transaction, for clients whose calls are one each.
	CREATE FUNCTION work_and_complete(tenant_id text, key text, token bigint, call bigint) RETURNS text
	LANGUAGE plpgsql AS $$
	DECLARE
		body text := work(key, call);
	BEGIN
		PERFORM idempotency_complete(tenant_id, key, token, 200, body);
		RETURN body;
	END $$;
	CREATE FUNCTION claim_and_work(tenant_id text, key text, request jsonb, wait interval, OUT outcome text, OUT body text)
	LANGUAGE plpgsql AS $$
	DECLARE
		c record;
	BEGIN
		SELECT * INTO c FROM idempotency_claim(tenant_id, key, request, wait => wait);
		outcome := c.outcome;
		body := CASE WHEN c.token IS NULL THEN c.response_body ELSE work_and_complete(tenant_id, key, c.token, NULL) END;
	END $$;
};

# What clients of a proxy call beside the extension.
our $routed = '{"work_and_complete(text,text,bigint,bigint)","claim_and_work(text,text,jsonb,interval)"}';

# What they write down.  Times are in microseconds since 1970, as tokens are.
my $notes = q{
	CREATE TABLE answers (client int, key text, outcome text, body text);
	CREATE TABLE leases (client int, key text, token bigint, lease_end bigint, point text);
	CREATE TABLE calls (client int, key text, token bigint);
};

# Of a server that is set up but not started: it is, then.  The options are how
# many clients and keys there are; may be the tables that they work with; and, if
# the server is a proxy, the shards, which are started in its place.
sub new
{
	my ($class, $node, %options) = @_;
	my $self = bless { tables => $tables, %options, folder => $node->basedir . '/notes', runs => [] }, $class;

	mkdir $self->{folder};
	append_to_file($self->notes($_), '') foreach 'answers', 'leases', 'calls';
	open $self->{answers}, '<', $self->notes('answers') or die $!;
	$self->{progress} = 0;
	foreach my $shard ($self->shards($node))
	{
		$shard->append_conf('postgresql.conf', $settings);
		$shard->start;
		$shard->safe_psql('postgres', $self->{tables});
	}
	return $self;
}

# Where the keys of a server are: there, or behind it.
sub shards
{
	my ($self, $node) = @_;
	return @{ $self->{shards} // [$node] };
}

# The file of what the clients wrote down of one kind.
sub notes
{
	my ($self, $kind) = @_;
	return "$self->{folder}/$kind";
}

# How many answers there will be.
sub total
{
	my ($self) = @_;
	return $self->{clients} * $self->{keys};
}

sub start
{
	my ($self, $server, @options) = @_;
	foreach my $client (1 .. $self->{clients})
	{
		push @{ $self->{runs} },
		  IPC::Run::start(
			[ $program, '--server', $server, '--name', $client, '--folder', $self->{folder}, '--keys', $self->{keys},
			  '--isolation', $levels[ $client % @levels ],
			  '--seconds', $PostgreSQL::Test::Utils::timeout_default, @options ],
			'<', '/dev/null', '>', '/dev/null', '2>', $self->notes("stderr$client"));
	}
}

# How many answers were written down so far.
sub progress
{
	my ($self) = @_;
	my $answers = $self->{answers};
	$self->{progress}++ while <$answers>;
	seek $answers, 0, 1;		# there may be more at the next time
	return $self->{progress};
}

# Lets accidents happen to the clients, until they are done.
sub ride_out
{
	my ($self, @accidents) = @_;
	my ($is_over, $accidents_left) = Storm::ride_out(
		sub { return ($self->progress, !grep { $_->pumpable } @{ $self->{runs} }); }, @accidents);

	$_->kill_kill foreach $is_over ? () : @{ $self->{runs} };
	is(scalar(grep { !$_->finish } @{ $self->{runs} }), 0, 'every client was answered')
	  or diag map { slurp_file($_) } glob $self->notes('stderr*');
	is($accidents_left, 0, '... after all accidents');
}

# Tests what there is in the end, on a server that clients were working with; if
# it is a proxy, it has views of the tables of all shards.  With few accidents, an
# outcome may be rare.
sub check
{
	my ($self, $node, %options) = @_;
	my $ask = sub { return $node->safe_psql('postgres', $_[0]); };

	$ask->($notes);
	$ask->("COPY $_ FROM '" . $self->notes($_) . "'") foreach 'answers', 'leases', 'calls';

	is($ask->('SELECT count(*), count(DISTINCT (client, key)) FROM answers'),
		join('|', ($self->total) x 2), 'every request was answered once');
	my @ways = grep { $_ ne ($options{rare} // '') } split /\n/, $ask->('SELECT DISTINCT outcome FROM answers ORDER BY 1');
	is("@ways", join(' ', grep { $_ ne ($options{rare} // '') } qw(claimed executed left replay resumed)), '... in each way');
	is($ask->(q{
		SELECT count(DISTINCT key), count(*) - count(DISTINCT key) FROM effects}),
		$ask->(q{SELECT count(DISTINCT key) || '|0' FROM answers WHERE outcome <> 'left'}),
		'every key has one effect');
	is($ask->(q{
		SELECT count(*) FROM answers LEFT JOIN effects USING (key)
		WHERE outcome <> 'left' AND body IS DISTINCT FROM to_jsonb(effects)::text}),
		'0', '... which is what all its answers tell of');
	is($ask->('SELECT sum(count) - 2 * (SELECT count(*) FROM effects) FROM counters'),
		'0', '... and was counted');

	is($ask->(q{
		SELECT count(*) FROM effects
		WHERE key LIKE 'two-%' AND call IS DISTINCT FROM (SELECT max(token) FROM calls WHERE calls.key = effects.key)}),
		'0', 'nobody called the outside again after a checkpoint');
	is($ask->(q{
		SELECT count(*) FROM leases AS earlier JOIN leases AS later USING (key)
		WHERE later.token > earlier.token AND later.token < earlier.lease_end}),
		'0', 'nobody was given a key under the lease of another');

	$ask->('CREATE TABLE unfinished AS SELECT tenant_id, key FROM idempotency_keys WHERE completed_at IS NULL');
	my $claim_unfinished = q{
		FROM unfinished AS u LEFT JOIN leases AS l ON l.key = u.key AND point = 'called',
			LATERAL idempotency_claim(u.tenant_id, u.key) AS c};
	is($ask->("SELECT DISTINCT c.outcome, count(*) $claim_unfinished GROUP BY 1"),
		'in_progress|' . $ask->(q{SELECT count(DISTINCT key) FROM answers WHERE outcome = 'left'}),
		'what was left alone, and that only, is unfinished');
	$_->safe_psql('postgres', q{ALTER DATABASE postgres SET idempotency.clock_offset = '2 h'}) foreach $self->shards($node);
	is($ask->("SELECT DISTINCT c.outcome, l.token IS NULL OR c.recovery_data ->> 'call' = l.token::text $claim_unfinished"),
		'resumed|t', '... and goes on from its checkpoint once its lease is over');
	$_->safe_psql('postgres', 'ALTER DATABASE postgres RESET idempotency.clock_offset') foreach $self->shards($node);
}

1;
