# Many sessions race for the same keys, half of them failing now and then.
# Each effect is counted: exactly one for each key, and every session that
# was answered got the same answer.
use strict;
use warnings;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('race');
$node->init;
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION idempotency;
	CREATE TABLE effects (key text, worker int);
	CREATE TABLE answers (key text, outcome text, body text);
	CREATE FUNCTION handle(key text, worker int) RETURNS text
	LANGUAGE plpgsql AS $$
	DECLARE
		c record;
	BEGIN
		SELECT * INTO c FROM idempotency_claim('acme', key, '{"n": 1}');
		IF c.outcome IN ('claimed', 'resumed') THEN
			INSERT INTO effects VALUES (key, worker);
			IF random() < 0.25 THEN
				RAISE EXCEPTION 'crash' USING ERRCODE = 'XX999';
			END IF;
			PERFORM idempotency_complete('acme', key, c.token, 200, 'by ' || worker);
			c.response_body := 'by ' || worker;
		END IF;
		IF c.outcome <> 'in_progress' THEN
			INSERT INTO answers VALUES (key, c.outcome, c.response_body);
		END IF;
		RETURN c.outcome;
	END $$;
});

my $keys = 200;
my $workers = 8;

# What a worker does: try every key until it is answered, one transaction a
# key.
sub script
{
	my ($worker) = @_;
	return qq{
		DO \$\$
		DECLARE
			outcome text;
			pending text[] := ARRAY(SELECT 'k' || i FROM generate_series(1, $keys) AS i ORDER BY i % 7, random());
			rest text[];
			k text;
		BEGIN
			WHILE cardinality(pending) > 0 LOOP
				rest := '{}';
				FOREACH k IN ARRAY pending LOOP
					BEGIN
						outcome := handle(k, $worker);
					EXCEPTION WHEN SQLSTATE 'XX999' OR serialization_failure THEN
						outcome := 'failed';
					END;
					IF outcome IN ('failed', 'in_progress') THEN
						rest := rest || k;
					END IF;
					COMMIT;
				END LOOP;
				pending := rest;
			END LOOP;
		END \$\$;};
}

# A COMMIT that fails under SERIALIZABLE ends the script, which then starts
# anew, as any client's transaction would.
my $retry = 'for i in $(seq 100); do psql -XqAt -v ON_ERROR_STOP=1 -d "$0" -c "$1" -c "$2" && exit 0; done; exit 1';

foreach my $level ('read committed', 'repeatable read', 'serializable')
{
	my @sessions;
	foreach my $worker (1 .. $workers)
	{
		my ($out, $err) = ('', '');
		push @sessions,
		  IPC::Run::start(
			[ 'bash', '-c', $retry, $node->connstr('postgres'), "SET default_transaction_isolation = '$level'", script($worker) ],
			'>', \$out, '2>', \$err);
	}
	is(scalar(grep { !$_->finish } @sessions), 0, "$level: every worker was answered");
	is( $node->safe_psql('postgres', q{
		SELECT count(*), count(DISTINCT key) FROM effects}),
		"$keys|$keys", "$level: one effect a key");
	is( $node->safe_psql('postgres', q{
		SELECT count(*) FROM effects AS e JOIN answers AS a USING (key)
		WHERE a.body IS DISTINCT FROM 'by ' || e.worker}),
		'0', "$level: every answer tells of that effect");
	is( $node->safe_psql('postgres', q{
		SELECT count(*) FROM answers WHERE outcome NOT IN ('claimed', 'resumed', 'replay')}),
		'0', "$level: no other outcome");
	is( $node->safe_psql('postgres', q{
		SELECT count(*) FROM idempotency_keys WHERE completed_at IS NULL}),
		'0', "$level: no key is left in progress");
	$node->safe_psql('postgres', 'TRUNCATE effects, answers, idempotency_keys');
}

$node->stop;
done_testing();
