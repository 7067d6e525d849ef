# Random calls of everything there is to be called, with hostile arguments and
# settings, in all kinds of transactions, by two sessions at once.  Nothing of
# it may crash the server, or raise an error that isn't one of those expected,
# or leave a row that the state machine doesn't know.
#
# SEED and CALLS repeat a run or make it longer.
use strict;
use warnings;
use File::Basename qw(dirname);
use IPC::Run;
use lib dirname(__FILE__) . '/../perl';
use Functions;
use Hostile;
use List::Util qw(max sum);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $enough = 100_000;		# calls that are enough to see everything
my $sessions = 2;
my $calls = $ENV{CALLS} // $enough;
my $seed = $ENV{SEED} // int(rand(2**31));
my $timeout = $PostgreSQL::Test::Utils::timeout_default;

my $node = PostgreSQL::Test::Cluster->new('fuzz');
$node->init;
$node->append_conf('postgresql.conf', qq{
	shared_preload_libraries = 'idempotency'
	log_statement = none
	log_line_prefix = '%e '
	max_prepared_transactions = 10
	deadlock_timeout = '10 ms'});
$node->start;

$node->safe_psql('postgres', q{
	CREATE EXTENSION idempotency;
	CREATE ROLE fuzz_app;
	CREATE ROLE fuzz_nobody;
	GRANT EXECUTE ON ALL ROUTINES IN SCHEMA public TO fuzz_app;

	CREATE FUNCTION answer(jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT $1 $$;
	CREATE FUNCTION answer(text) RETURNS jsonb LANGUAGE sql AS $$ SELECT '{}'::jsonb $$;
	CREATE FUNCTION strict_answer(jsonb) RETURNS jsonb LANGUAGE sql STRICT AS $$ SELECT $1 $$;
	CREATE FUNCTION no_answer(jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT NULL::jsonb $$;
	CREATE FUNCTION respond(jsonb) RETURNS idempotency_response LANGUAGE sql AS $$
		SELECT (ARRAY[200, NULL, 404, 503, 99])[ceil(random() * 5)], (ARRAY['{"a": 1}', NULL, '1']::jsonb[])[ceil(random() * 3)], 'body' $$;
	CREATE FUNCTION fail(jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RAISE 'failed'; END $$;
	CREATE FUNCTION several(jsonb) RETURNS SETOF jsonb LANGUAGE sql AS $$ SELECT $1 $$;
	CREATE PROCEDURE a_procedure(jsonb) LANGUAGE sql AS $$ SELECT 1 $$;

	-- Does with its own key what a handler shouldn't.
	CREATE FUNCTION meddle(jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
	BEGIN
		IF random() < 0.5 THEN
			PERFORM idempotency_forget(tenant_id, key, scope) FROM idempotency_keys WHERE lease_expires_at IS NOT NULL;
		ELSE
			PERFORM idempotency_complete(tenant_id, key, token, scope => scope) FROM idempotency_keys WHERE xmin = pg_current_xact_id()::xid;
		END IF;
		RETURN '{}';
	END $$;

	-- A handler of a handler, and one of as many as the stack has room for.
	CREATE FUNCTION nest(jsonb) RETURNS jsonb LANGUAGE sql AS $$
		SELECT to_jsonb(e) FROM idempotency_execute('tenant 1', 'a', NULL, 'nest(jsonb)') AS e $$;
	CREATE FUNCTION deepen(jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
	BEGIN
		RETURN to_jsonb(e) FROM idempotency_execute('tenant 1', random()::text, NULL, 'deepen(jsonb)') AS e;
	END $$;

	CREATE FUNCTION handle(e webhook_event) RETURNS void LANGUAGE sql AS $$ SELECT $$;
	CREATE FUNCTION handle_badly(e webhook_event) RETURNS int LANGUAGE sql AS $$ SELECT 1 / (random() * 3)::int $$;
	CREATE FUNCTION several(webhook_event) RETURNS SETOF int LANGUAGE sql AS $$ SELECT 1 $$;
	CREATE FUNCTION any_event(anyelement) RETURNS anyelement LANGUAGE sql AS $$ SELECT $1 $$;
	CREATE FUNCTION become_other(e webhook_event) RETURNS void LANGUAGE plpgsql AS $$ BEGIN SET ROLE fuzz_app; END $$;
	CREATE FUNCTION meddle(e webhook_event) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM webhook_inbox_record(e.tenant_id, e.source, 'from ' || left(e.event_id, 100), stream => e.stream);
		PERFORM webhook_inbox_fetch(3);
		IF random() < 0.3 THEN
			PERFORM webhook_inbox_fail(e.tenant_id, e.source, e.event_id, e.token, 'failed itself');
		ELSIF random() < 0.3 THEN
			PERFORM webhook_inbox_requeue(e.tenant_id, e.source, e.event_id);
		END IF;
	END $$;

	CREATE FUNCTION dropped(jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT $1 $$;
});
my $dropped = $node->safe_psql('postgres', q{SELECT 'dropped'::regproc::oid});
$node->safe_psql('postgres', 'DROP FUNCTION dropped');

my @functions = extension_functions($node);
my @views = split /\n/, $node->safe_psql('postgres', q{
	SELECT objid::regclass FROM pg_depend JOIN pg_class AS c ON c.oid = objid
	WHERE classid = 'pg_class'::regclass AND relkind = 'v' AND deptype = 'e' AND refclassid = 'pg_extension'::regclass
		AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'idempotency')});
my @settings;
foreach my $row (split /\n/, $node->safe_psql('postgres', q{
		SELECT NULL FROM idempotency_lookup('acme', 'load the library');
		SELECT name, vartype, min_val, max_val, array_to_string(enumvals, ',') FROM pg_settings WHERE name LIKE 'idempotency.%'}))
{
	my ($name, $type, $least, $greatest, $words) = split /\|/, $row, -1;
	push @settings, { name => $name, type => $type, least => $least, greatest => $greatest, words => [ split /,/, $words ] };
}

# Each argument, or those that aren't left to their defaults.  The token comes
# last, for it depends on the others.
sub arguments
{
	my ($function, $focus) = @_;
	my $hostility = pick(0, 0, 0, 0.05, 0.1, 0.5);
	my $named = !$function->{is_variadic} && chance(0.5);
	my %given = (scope => "''");
	my @used;

	foreach my $argument (@{ $function->{arguments} })
	{
		my $is_left_out = $argument->{is_optional} && chance(0.4);
		push @used, $argument if !$is_left_out;
		last if $is_left_out && !$named;
	}
	foreach my $argument (sort { ($a->{name} eq 'token') <=> ($b->{name} eq 'token') } @used)
	{
		$given{ $argument->{name} } = chance($hostility) ? hostile_value($argument) : good_value($argument, $focus, \%given);
		$given{ $argument->{name} } =~ s/\$dropped/$dropped/;
	}
	my @list = map { ($named ? "$_->{name} => " : '') . "CAST($given{$_->{name}} AS $_->{type})" } @used;
	$list[-1] = "VARIADIC $list[-1]" if $function->{is_variadic};
	return join ', ', @list;
}

# One call, in one of the ways that there are to make it, which print the
# function's signature and what it returned.
sub call
{
	my ($function, $focus, $in_transaction) = @_;
	my $call = "$function->{name}(" . arguments($function, $focus) . ')';
	my $name = $function->{signature};

	if ($function->{is_procedure})
	{
		return "DO \$do\$ BEGIN CALL $call; END \$do\$;" if chance(0.1);
		return "CALL $call;\n\\if :ERROR\n\\else\n\\echo $name '\\t'\n\\endif";
	}

	my $select = "SELECT '$name', left(r::text, 200) FROM $call AS r";
	return "$select;" if chance(0.7);
	return pick(
		"SELECT '$name', left(($call)::text, 200);",
		"SELECT '$name', left(r::text, 200) FROM generate_series(1, 3) CROSS JOIN LATERAL $call AS r;",
		"PREPARE p AS $select;\nEXECUTE p;\nEXECUTE p;\nDEALLOCATE p;",
		"COPY ($select) TO STDOUT;",
		# an error that is caught is logged all the same
		"DO \$do\$ BEGIN FOR turn IN 1 .. 2 LOOP BEGIN PERFORM $call; EXCEPTION WHEN others THEN RAISE LOG USING ERRCODE = SQLSTATE, MESSAGE = SQLERRM; END; END LOOP; END \$do\$;",
		"DO \$do\$ BEGIN PERFORM $call; RAISE SQLSTATE 'P0001'; EXCEPTION WHEN raise_exception THEN NULL; END \$do\$;",
		$in_transaction ? "DECLARE c CURSOR FOR $select;\nFETCH c;\nSAVEPOINT t;\nFETCH ALL c;\nROLLBACK TO t;\nFETCH c;\nCLOSE c;" :
		  "BEGIN;\nDECLARE c CURSOR WITH HOLD FOR $select;\nFETCH c;\nCOMMIT;\nFETCH ALL c;\nCLOSE c;");
}

# Those that put an end to much, or have little to do with the others, are
# chosen less often.
my @choice = map { ($_) x ($_->{name} =~ /forget_tenant|grant|revoke|set_profile|stats|activity/ ? 1 : 8) } @functions;

# What chance alone hardly brings about: a key that has a tombstone is claimed.
sub late_retry
{
	my ($claim) = grep { $_->{name} eq 'idempotency_claim' } @functions;
	my $call = "SELECT '$claim->{signature}', left(r::text, 200) FROM idempotency_claim('tenant 1', 'late "
	  . int(rand(1e9)) . "', ttl => '0') AS r;";

	return ("SET idempotency.tombstone_ttl = '1 day';", $call, $call);
}

# Some calls that have to do with each other, in one transaction or in several.
sub scene
{
	my @lines;
	my %focus;
	my $in_transaction = chance(0.4);
	my $count = 1 + int(rand(12));
	my $change_settings = chance(0.4);
	my $level = pick('READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE') . pick(('') x 9, ' READ ONLY');

	push @lines, 'SET ROLE ' . pick('fuzz_app', 'fuzz_nobody') . ';' if chance(0.03);
	push @lines, '\set ON_ERROR_ROLLBACK ' . (chance(0.9) ? 'on' : 'off');
	push @lines, "BEGIN ISOLATION LEVEL $level;" if $in_transaction;
	push @lines, "SET default_transaction_isolation = '$level';" if !$in_transaction && $level !~ /ONLY/;
	push @lines, "SET lock_timeout = '1 ms';" if chance(0.1);
	for (1 .. $count)
	{
		my ($name, $value) = hostile_setting(@settings);
		push @lines, "SELECT FROM set_config('$name', $value, " . pick('true', 'false') . ');' if $change_settings && chance(0.3);
		push @lines, 'SAVEPOINT s;' if $in_transaction;
		push @lines, call($choice[ rand @choice ], \%focus, $in_transaction);
		push @lines, 'ROLLBACK TO s;' if $in_transaction && chance(0.2);
	}
	push @lines, "SELECT '$_', count(v::text) FROM $_ AS v;" foreach grep { chance(0.05) } @views;
	push @lines, pick('COMMIT;', 'COMMIT;', 'ROLLBACK;', "PREPARE TRANSACTION :'session';\nCOMMIT PREPARED :'session';",
		"PREPARE TRANSACTION :'session';\nROLLBACK PREPARED :'session';", "COMMIT AND CHAIN;\nROLLBACK;") if $in_transaction;
	push @lines, late_retry() if chance(0.02);
	push @lines, 'RESET ROLE;', 'RESET ALL;';
	push @lines, pick('DISCARD PLANS;', 'DISCARD ALL;', 'VACUUM idempotency_keys;', 'ANALYZE webhook_inbox;') if chance(0.01);
	return ($count, join("\n", @lines) . "\n");
}

# Writes a session's script.
sub write_script
{
	my ($number, $file) = @_;
	my $todo = $calls / $sessions;

	srand($seed + $number);
	open my $script, '>:encoding(UTF-8)', $file or die $!;
	print $script "\\set session $number\n\\pset null NULL\nSELECT FROM setseed(", rand(), ");\n";
	while ($todo > 0)
	{
		my ($count, $lines) = scene();
		print $script $lines;
		$todo -= $count;
	}
	close $script;
}

diag "SEED=$seed CALLS=$calls";
my @runs;
foreach my $number (1 .. $sessions)
{
	my ($script, $out) = map { $node->basedir . "/session$number.$_" } 'sql', 'out';
	# a call that waits for a year gives up after so many milliseconds
	local $ENV{PGOPTIONS} = "-c statement_timeout=$timeout";
	write_script($number, $script);
	push @runs, { out => $out, run => IPC::Run::start(
			[ 'psql', '-XqAt', '-F', "\t", '-d', $node->connstr('postgres'), '-f', $script ],
			'<', '/dev/null', '>', $out, '2>', '/dev/null',
			# no single statement can take longer than it may, so this is ample
			IPC::Run::timeout(10 * $timeout * max(1, $calls / $enough))) };
}
my $finished = grep { $_->{run}->finish } @runs;
is($finished, $sessions, 'all sessions came to their end');

# What each call returned, by its name and by its words.
my (%returned, %word);
foreach my $run (@runs)
{
	open my $out, '<', $run->{out} or die $!;
	while (my $line = <$out>)
	{
		next unless $line =~ /^([\w]+(?:\([^\t]*\))?) ?\t(.*)/;
		my ($name, $result) = ($1, $2);
		$returned{$name}++;
		$word{$1}++ while $result =~ /(?:^|[(,])([a-z_]+)(?=[,)]|$)/g;
	}
}

my %expected = (
	# the contract's
	'IK001' => 'no key', 'IK002' => 'bad key', 'IK003' => 'bad name', 'IK004' => 'outdated token', 'IK005' => 'no such key',
	'22023' => 'bad argument', '42501' => 'not allowed', '25006' => 'read-only transaction', '40001' => 'to be retried',
	'2D000' => 'webhook_inbox_process inside a transaction block',
	'01007' => 'nothing was granted by a role that may not', '01006' => '... nor revoked',
	# values that are none
	'22P02' => 'not of the type', '22003' => 'number out of range', '22007' => 'not an interval', '22008' => 'interval out of range',
	'22015' => 'interval out of range', '22021' => 'not in the encoding', '22P05' => 'character 0', '54000' => 'too large for jsonb, or character 0',
	'42883' => 'no such function', '42704' => 'no such role, or no such prepared transaction', '54001' => 'nested too deep',
	'2202E' => 'array of uneven dimensions', '22000' => 'array',
	# what goes wrong around the calls
	'00000' => 'no error', '57014' => 'statement timeout', '55P03' => 'lock timeout', '40P01' => 'deadlock', '25P02' => 'failed transaction',
	'25P01' => 'no transaction', '26000' => 'PREPARE failed', '42P05' => 'DEALLOCATE failed', '42P03' => 'CLOSE failed', '34000' => 'DECLARE failed', '24000' => 'cursor', '3B001' => 'no savepoint',
	'0A000' => 'PREPARE TRANSACTION after NOTIFY, or with a cursor', '55000' => 'PREPARE TRANSACTION',
	# raised by handlers
	'P0001' => 'handler that fails', '22012' => 'handler that divides by zero');

my $log = slurp_file($node->logfile);
# what the server says to two GRANTs at once
$log =~ s/^XX000 (\w+:  tuple concurrently (?:updated|deleted))/00000 $1/mg;
my %met;
$met{$1}++ while $log =~ /^(\w{5}) (?:LOG|WARNING|ERROR|FATAL|PANIC):  /mg;
foreach my $state (sort keys %met)
{
	next if $expected{$state};
	my @examples = $log =~ /^($state \w+:  .*\n(?:.*\n){0,3})/mg;
	diag 'e.g. ', substr($examples[0], 0, 3000);
}
is(join(' ', grep { !$expected{$_} } sort keys %met), '', 'no errors but those expected');
unlike($log, qr/PANIC:|TRAP:|terminated by signal|exited with exit code [^01]/, 'no crash');

my @signatures = map { $_->{signature} } @functions;
my @words = qw(claimed resumed replay in_progress mismatch gone executed completed released recorded duplicate
  pending processing processed dead);
my $seen = sub {
	my ($what, $seen) = @_;
	diag join "\n", map { sprintf '%9d %s', $seen->{$_} // 0, $_ } sort keys %$seen, grep { !$seen->{$_} } @$what if $ENV{VERBOSE};
	return join ' ', grep { !$seen->{$_} } @$what;
};
if ($calls >= $enough)
{
	is($seen->([ @signatures, @views ], \%returned), '', 'each function was called with success');
	is($seen->(\@words, { map { $_ => $word{$_} } grep { $word{$_} } @words }), '', '... with each outcome');
	is($seen->([ qw(IK001 IK002 IK003 IK004 IK005 22023 42501 25006 2D000) ], \%met), '', '... and with each error');
}
diag join(' ', map { "$_:$met{$_}" } sort keys %met), "\n", sum(values %returned), ' returned' if $ENV{VERBOSE};


# What no row may be, as the pictures in src/key.h and src/inbox.h have it.
my %never = (
	idempotency_keys => [
		'lease_expires_at IS NOT NULL AND completed_at IS NOT NULL',
		'completed_at IS NULL AND response_status IS NOT NULL',
		'completed_at IS NOT NULL AND response_status IS NULL AND num_nonnulls(lease_expires_at, request_hash, request,
			recovery_point, recovery_data, response_headers, response_body, response_bytes) > 0',
		'completed_at IS NULL AND num_nonnulls(response_headers, response_body, response_bytes) > 0',
		'response_body IS NOT NULL AND response_bytes IS NOT NULL',
		'response_status NOT BETWEEN 100 AND 599',
		'completed_at IS NOT NULL AND request IS NOT NULL',
		'attempt < 1 OR token < 1',
		'lease_expires_at > expires_at',
		'length(request_hash) <> 32 OR request_hash <> idempotency_request_hash(request)',
		'octet_length(tenant_id) NOT BETWEEN 1 AND 255 OR octet_length(scope) > 255 OR char_length(key) NOT BETWEEN 1 AND 255',
		q(concat(tenant_id, scope, key) ~ '[\x01-\x1f\x7f-\x9f]') ],
	webhook_inbox => [
		q(state NOT IN ('pending', 'processing', 'processed', 'dead')),
		q((state IN ('processed', 'dead')) <> (finished_at IS NOT NULL)),
		'(finished_at IS NULL) <> (expires_at IS NULL) OR expires_at < finished_at',
		q(state = 'processing' AND (attempt < 1 OR token < 1)),
		q(state = 'dead' AND attempt < 1),
		'attempt < 0 OR token < 0',
		q(state = 'processing' AND due_at IS NULL),
		'stream IS NULL AND (due_at IS NULL) <> (finished_at IS NOT NULL)',
		q(ttl < '0'),
		'least(octet_length(tenant_id), octet_length(source), octet_length(event_id), octet_length(stream)) < 1',
		'greatest(octet_length(tenant_id), octet_length(source), octet_length(event_id), octet_length(stream)) > 255',
		q(concat(tenant_id, source, event_id, stream) ~ '[\x01-\x1f\x7f-\x9f]') ]);
foreach my $table (sort keys %never)
{
	cmp_ok($node->safe_psql('postgres', "SELECT count(*) FROM $table"), '>', 0, "rows in $table");
	is($node->safe_psql('postgres', "SELECT * FROM $table WHERE $_ LIMIT 3"), '', "... never $_") foreach @{ $never{$table} };
}

# In a stream, the one in flight or else the first has a turn, or a finished
# one has.
is($node->safe_psql('postgres', q{
		SELECT tenant_id, source, stream, max(n) FROM (
			SELECT *, row_number() OVER (PARTITION BY tenant_id, source, stream, state ORDER BY sequence, received_at, event_id) AS n
			FROM webhook_inbox WHERE stream IS NOT NULL) AS e
		GROUP BY 1, 2, 3 HAVING bool_or(finished_at IS NULL)
			AND NOT bool_or(due_at IS NOT NULL AND (finished_at IS NOT NULL OR state = 'processing' OR n = 1))}),
	'', 'no stream is stuck');
is($node->safe_psql('postgres', q{
		SELECT tenant_id, source, stream FROM webhook_inbox WHERE stream IS NOT NULL AND state = 'processing'
		GROUP BY 1, 2, 3 HAVING count(*) > 1}),
	'', '... and no two events of one are in flight');
is($node->safe_psql('postgres', q{
		SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' UNION ALL SELECT count(*) FROM pg_prepared_xacts}),
	"0\n0", 'no lock is left');

# All can be worked off, but what is due later than in a hundred years, or
# comes behind that.
is($node->safe_psql('postgres', q{
		SET idempotency.clock_offset = '100 years';
		DO $$
		BEGIN
			WHILE EXISTS (SELECT FROM webhook_inbox_fetch(100) AS e, LATERAL webhook_inbox_complete(e.tenant_id, e.source, e.event_id, e.token)) LOOP
				COMMIT;
			END LOOP;
		END $$;
		SELECT * FROM webhook_inbox AS e
		WHERE finished_at IS NULL AND NOT EXISTS (
			SELECT FROM webhook_inbox AS f
			WHERE f.tenant_id = e.tenant_id AND f.source = e.source AND (f.event_id = e.event_id OR f.stream = e.stream)
				AND f.finished_at IS NULL AND f.due_at > now() + interval '100 years')}),
	'', 'all events can be worked off');

# Not every server of one's own has amcheck.
if ($node->safe_psql('postgres', q{SELECT count(*) FROM pg_available_extensions WHERE name = 'amcheck'}))
{
	is($node->safe_psql('postgres', q{
			CREATE EXTENSION amcheck;
			SELECT count(bt_index_check(indexrelid, true)) >= 10 FROM pg_index
			WHERE indrelid IN ('idempotency_keys'::regclass, 'webhook_inbox'::regclass)}),
		't', 'the indexes are as they should be');
}

$node->stop;
done_testing();
