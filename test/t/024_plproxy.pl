# A PL/Proxy proxy of three shards, each a server of its own, set up by
# sharding/plproxy.  Every function answers as it does where all tenants are in one
# database; a tenant is on one shard only.  The storm of clients and the workers of
# the inbox go through the proxy while shards are killed: nothing that was
# acknowledged is lost, and nothing is done twice.
use strict;
use warnings;
use File::Basename qw(dirname);
use lib dirname(__FILE__) . '/../perl';
use Clients;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Shards;
use Storm qw(ask_of_backend kill_server log_tells_only);
use Test::More;
use Workers;

my @tenants = qw(acme globex initech hooli umbrella tyrell);

my $sharded = Shards->new(3);
my $proxy = $sharded->{proxy};
my @shards = @{ $sharded->{shards} };
$_->append_conf('postgresql.conf', qq{
	shared_preload_libraries = 'idempotency'
	$Workers::settings}) foreach $sharded->all;
$proxy->start;
my $clients = Clients->new($proxy, shards => \@shards, clients => 6, keys => 600);
Workers::prepare($_) foreach @shards;
$sharded->set_up;

sub ask
{
	my ($sql, %options) = @_;
	my ($result, $out, $err) = ($options{node} // $proxy)->psql('postgres', $sql, on_error_stop => 0, %options);
	$err =~ s/^.*NOTICE: .*\n?//mg;
	return wantarray ? ($out, $err) : $out;
}

# What is called a name there is a text here.
my $functions = q{
	SELECT p.proname, replace(replace(pg_get_function_arguments(p.oid), 'regprocedure', 'text'), 'regrole', 'text'),
		pg_get_function_result(p.oid), proisstrict, prokind, md5(obj_description(p.oid, 'pg_proc'))
	FROM pg_proc AS p WHERE pronamespace = 'public'::regnamespace};
my $types = q{
	SELECT t.typname, obj_description(t.oid, 'pg_type'), string_agg(attname || ' ' || atttypid::regtype, ', ' ORDER BY attnum)
	FROM pg_type AS t JOIN pg_class AS c ON c.oid = typrelid JOIN pg_attribute ON attrelid = c.oid
	WHERE c.relnamespace = 'public'::regnamespace AND relkind = 'c' GROUP BY 1, 2};
my $relations = q{
	SELECT relname, relkind, obj_description(oid, 'pg_class') FROM pg_class
	WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v')};

# Of one that has nothing else.
my $reference = $shards[0];
$reference->safe_psql('postgres', 'CREATE DATABASE reference');
$reference->safe_psql('reference', 'CREATE EXTENSION idempotency');

# The names of what is on the shards and not on the proxy.
sub missing
{
	my ($query) = @_;
	my %is_here = map { $_ => 1 } split /^(?=\w+\|)/m, ask($query) . "\n";
	return join ' ', sort map { /^(\w+)/ } grep { !$is_here{$_} } split /^(?=\w+\|)/m, $reference->safe_psql('reference', $query) . "\n";
}

my $definitions = $sharded->definitions;
my %reason = $definitions =~ /^-- left out: (?:public\.)?(\w+)[^:]*: (.+)$/mg;
is(missing($functions), 'idempotency_set_profile', 'the proxy has every function of the extension, as it is there, but one');
is(missing($types), '', '... every type');
is(missing($relations), 'idempotency_keys idempotency_profiles webhook_inbox', '... and the views of functions');
is(join(' ', sort keys %reason), 'idempotency_keys idempotency_profiles idempotency_set_profile webhook_inbox',
	'the generator says why it left out others');

# A later version may have more.
sub set_up_anew_by
{
	my @addresses = @_;
	ask('CREATE DATABASE anew');
	my ($out, $err) = ('', '');
	IPC::Run::run([ 'sharding/plproxy/setup', $proxy->connstr('anew'), @addresses ], '>', \$out, '2>', \$err);
	my $made = $proxy->safe_psql('anew', q{SELECT count(*) FROM pg_proc WHERE proname = 'idempotency_claim'});
	ask('DROP DATABASE anew');
	return ($made, $err);
}

sub set_up_anew
{
	return set_up_anew_by(map { Shards::address($_) } @_);
}

my $add = sub { return "CREATE FUNCTION $_[0] RETURNS int LANGUAGE sql AS 'SELECT 1'; ALTER EXTENSION idempotency ADD FUNCTION $_[0]"; };
my $remove = sub { return "ALTER EXTENSION idempotency DROP FUNCTION $_[0]; DROP FUNCTION $_[0]"; };
$shards[0]->safe_psql('postgres', $add->('later(number int)'));
my ($made, $err) = set_up_anew($shards[0]);
like($err, qr/there is no rule for public\.later\(integer\)/, 'a function that nobody thought of makes the set-up fail');
is($made, '0', '... which leaves nothing then');
$shards[0]->safe_psql('postgres', $remove->('later(number int)'));
$shards[0]->safe_psql('postgres', $add->('later(tenant_id text)'));
like($sharded->definitions, qr/FUNCTION public\.later\(tenant_id text\)/, 'one whose first argument is a tenant is routed');
($made, $err) = set_up_anew(@shards);
like($err, qr/the extension in .* is not that in /, 'shards that differ are refused');
($made, $err) = set_up_anew($proxy);
like($err, qr/the extension is not in /, '... or that have none');
$shards[0]->safe_psql('postgres', $remove->('later(tenant_id text)'));
($made, $err) = set_up_anew(@shards);
is("$made $err", '1 ', '... and the same ones are not');
foreach my $who (' user=postgres', " password = 'x'")
{
	($made, $err) = set_up_anew_by(Shards::address($shards[0]) . $who);
	like($err, qr/must not say who connects/, "one is refused that says$who");
}

# Every function, beside a database that has all tenants.
my $every_function = slurp_file('test/sharding/every_function.sql');
my @uncalled = grep { $every_function !~ /\b$_\b/ }
  split /\n/, $reference->safe_psql('reference', q{SELECT DISTINCT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace});
is("@uncalled", 'idempotency_set_profile webhook_inbox_process', 'every function but two is tried');

my $tenants = "CREATE TABLE tenants AS SELECT unnest(string_to_array('@tenants', ' ')) AS tenant";
my $handlers = q{
	CREATE FUNCTION answer(request jsonb) RETURNS idempotency_response LANGUAGE sql AS $$
		SELECT 201, '{"X": "y"}'::jsonb, 'caf' || chr(233) || (request ->> 'n') $$;
	CREATE FUNCTION refuse(request jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RAISE 'no' USING ERRCODE = 'XX998'; END $$;};
my @patience = ([ 'webhook_max_attempts', '1' ], [ 'webhook_lease', '1 h' ], [ 'lease', '30 min' ]);
my $set = join ';', map { "ALTER DATABASE %DB% SET idempotency.$_->[0] = '$_->[1]'" } @patience;
my $reset = join ';', map { "ALTER DATABASE postgres RESET idempotency.$_->[0]" } @patience;
$_->safe_psql('postgres', $handlers . $set =~ s/%DB%/postgres/gr) foreach @shards;
$_->safe_psql('postgres', 'CREATE ROLE somebody') foreach @shards;
$reference->safe_psql('reference', $tenants . ';' . $handlers . $set =~ s/%DB%/reference/gr);
ask($tenants);

my @there = ask($every_function, node => $reference, dbname => 'reference', connstr => $reference->connstr('reference'));
my @here = ask($every_function);
is($here[0], $there[0], 'every function answers as it does in one database');
is($here[1], $there[1], '... with the same errors');
my @sqlstates = sort keys %{ { map { $_ => 1 } $there[1] =~ /ERROR:  (\w+)/g } };
is("@sqlstates", '22023 42704 42883 IK001 IK002 IK003 IK004 IK005 XX998', '... of all kinds');
$_->safe_psql('postgres', $reset) foreach @shards;

my ($out);
($out, $err) = ask(q{
	\set VERBOSITY verbose
	CALL webhook_inbox_process('handle(webhook_event)')});
like($err, qr/0A000: .*webhook_inbox_process.*HINT: .*on each shard/s, 'the procedure is refused, and says where to go');

# Where the tenants are.
$sharded->show_all(qw(idempotency_keys webhook_inbox effects counters handled));
ask("SELECT idempotency_claim(tenant, 'where', '{}'), webhook_inbox_record(tenant, 'where', 'e') FROM tenants");
my %shard_of = map { $_ => $sharded->shard_of($_) } @tenants;
my %is_used = map { $_->name => 1 } values %shard_of;
is(scalar(keys %is_used), 3, 'tenants are on all shards');
foreach my $tenant (@tenants)
{
	my $count = "SELECT (SELECT count(*) FROM idempotency_keys WHERE tenant_id = '$tenant') || ' ' || (SELECT count(*) FROM webhook_inbox WHERE tenant_id = '$tenant')";
	is(join(' ', map { $_->name . ' ' . $_->safe_psql('postgres', $count) } grep { $_->safe_psql('postgres', $count) ne '0 0' } @shards),
		$shard_of{$tenant}->name . ' 1 1', "$tenant is where idempotency_shard says, and there only");
}
ask(q{SELECT idempotency_forget_tenant(tenant) FROM tenants});

# A call is a transaction of the shard's.
ask(q{BEGIN; SELECT idempotency_claim('acme', 'autocommit'); ROLLBACK;});
is(ask(q{SELECT state FROM idempotency_lookup('acme', 'autocommit')}), 'in_progress', 'a rollback on the proxy undoes nothing on the shard');
ask(q{SELECT idempotency_forget('acme', 'autocommit')});

# Everybody is on the shards who he is on the proxy.
$_->safe_psql('postgres', q{
	CREATE ROLE acme LOGIN;
	CREATE ROLE operator LOGIN;
	CREATE ROLE stranger LOGIN;
	ALTER ROLE acme SET idempotency.tenant = 'acme'}) foreach $sharded->all;
ask(q{
	GRANT USAGE ON FOREIGN SERVER idempotency TO acme, operator;
	SELECT idempotency_grant('acme', 'app'), idempotency_grant('acme', 'worker');
	SELECT idempotency_grant('operator', 'admin');
	SELECT webhook_inbox_record(tenant, 'pin', 'e') FROM tenants});

# What a role is told: an answer, or an SQLSTATE.
sub told
{
	my ($role, $sql) = @_;
	my ($out, $err) = ask("\\set VERBOSITY sqlstate\n$sql", connstr => $proxy->connstr('postgres') . " user=$role");
	return $err =~ /ERROR:  (\w+)/ ? $1 : $out;
}

is(told('acme', q{SELECT outcome FROM idempotency_claim('acme', 'pinned')}), 'claimed', 'a pinned role gets at its tenant');
is(told('acme', q{SELECT outcome FROM idempotency_claim('globex', 'pinned')}), '42501', '... and at no other');
is(told('acme', q{SELECT string_agg(tenant_id, ' ') FROM webhook_inbox_fetch(100)}), 'acme', '... also where it asks for all');
is(told('acme', q{SELECT idempotency_forget('acme', 'pinned')}), '42501', '... and does what it was granted only');
is(told('acme', q{CREATE USER MAPPING FOR acme SERVER idempotency OPTIONS (user 'postgres')}), '42501', '... and makes itself nobody else');
is(told('operator', 'SELECT stats_reset IS NOT NULL FROM idempotency_stats'), 't', 'who watches reads the views');
is(told('acme', 'SELECT FROM idempotency_activity'), '42501', '... and nobody else');
is(told('stranger', q{SELECT idempotency_request_hash('{}')}), '42501', 'who may not use the foreign server gets nowhere');
ask(q{SELECT idempotency_forget_tenant(tenant) FROM tenants});

# What one shard refuses doesn't lose what others have handed out.
ask(q{SELECT webhook_inbox_record(tenant, 'refused', 'e') FROM tenants});
$_->safe_psql('postgres', 'ALTER ROLE acme RESET idempotency.tenant') foreach @shards;
$shards[1]->safe_psql('postgres', q{SELECT idempotency_revoke('acme', 'worker')});
my $fetch = q{SELECT count(*) FROM webhook_inbox_fetch(100, 'refused')};
my $handed_out = grep { $shard_of{$_} != $shards[1] } @tenants;
my $fetched = 0;
for (my $tries = 0; $fetched < $handed_out && $tries < 100; $tries++)
{
	my $answer = told('acme', $fetch);
	$fetched += $answer if $answer ne '42501';
}
is($fetched, $handed_out, 'each event of shards that let one is handed out');
is(ask(q{SELECT DISTINCT attempt FROM webhook_inbox_fetch(100, 'refused')}), '1', '... and no other is lost');
$_->safe_psql('postgres', q{ALTER ROLE acme SET idempotency.tenant = 'acme'}) foreach @shards;
ask(q{SELECT idempotency_grant('acme', 'worker'); SELECT idempotency_forget_tenant(tenant) FROM tenants});

# One shard down.
my ($down, @up) = ($shards[1], @shards[ 0, 2 ]);
my @lost = grep { $shard_of{$_} == $down } @tenants;
my @kept = grep { $shard_of{$_} != $down } @tenants;
my $in = sub { return 'tenant IN (' . join(', ', map { "'$_'" } @_) . ')'; };
ask(q{
	SELECT idempotency_complete(tenant, 'before', token, 200, 'kept') FROM tenants, idempotency_claim(tenant, 'before', '{}');
	SELECT webhook_inbox_record(tenant, 'shop', 'before') FROM tenants});
kill_server($down);
is(ask("SELECT count(*) FROM tenants, idempotency_claim(tenant, 'meanwhile', '{}') WHERE " . $in->(@kept) . " AND outcome = 'claimed'"),
	scalar(@kept), 'with a shard down, the tenants of the others go on');
($out, $err) = ask(qq{
	\\set VERBOSITY verbose
	SELECT idempotency_claim('$lost[0]', 'meanwhile', '{}');});
like($err, qr/^.*XX000: PL\/Proxy function public\.idempotency_claim.*connection to server/s, '... its own are told that it can\'t be reached');
($out, $err) = ask(qq{SELECT count(*), count(*) FILTER (WHERE $_) FROM webhook_inbox_fetch(100, lease => '1 h') AS f (tenant)}) foreach $in->(@kept);
is($out, @kept . '|' . @kept, '... events are handed out of the others');
like($err, qr/WARNING: .*a shard was passed over: /, '... which is said');
is(told('postgres', $_), 'XX000', "... $_ fails")
  foreach "SELECT count(*) FROM webhook_inbox_fetch(100, tenant_id => '$lost[0]')", 'SELECT idempotency_sweep()', 'SELECT count(*) FROM idempotency_activity';
kill_server($_) foreach @up;
is(told('postgres', 'SELECT count(*) FROM webhook_inbox_fetch(100)'), '08006', 'with all down, nobody believes that there is no event');
$_->start foreach @shards;
is(ask(q{SELECT DISTINCT outcome, response_body FROM tenants, idempotency_claim(tenant, 'before', '{}')}), 'replay|kept',
	'once they are back, all is there');
is(ask("SELECT string_agg(tenant_id, ' ' ORDER BY tenant_id) FROM webhook_inbox_fetch(100)"), join(' ', sort @lost),
	'... and what was not handed out can be');
ask(q{SELECT idempotency_forget_tenant(tenant) FROM tenants});

# A partition is moved, as docs/sharding.md says.
my ($traveller, $from, $to) = ($lost[0], $down, $up[0]);
my $partition = ask("SELECT hashtext('$traveller') & 15");
my ($recipe) = slurp_file('docs/sharding.md') =~ /### Moving a partition\n(.*?)\n###/s;
my ($stop, $move, $go) = map { s/\bp5\b/p$partition/gr =~ s/= 5\b/= $partition/gr =~ s/host=shard4 dbname=app/Shards::address($to)/ger }
  $recipe =~ /```\w*\n(.*?)```/gs;
ask(q{
	SELECT idempotency_complete(tenant, 'before', token, 200, 'kept') FROM tenants, idempotency_claim(tenant, 'before', '{}');
	SELECT webhook_inbox_record(tenant, 'shop', 'before') FROM tenants});
ask($stop);
is(told('postgres', "SELECT outcome FROM idempotency_claim('$traveller', 'before', '{}')"), 'XX000', 'while a partition moves, its tenants get errors');
is(told('postgres', "SELECT outcome FROM idempotency_claim('$kept[0]', 'before', '{}')"), 'replay', '... and others go on');
($out, $err) = ask($move, node => $from);
is($err, '', '... to another shard');
ask($go);
$shard_of{$traveller} = $sharded->shard_of($traveller);
is($shard_of{$traveller}, $to, '... which the proxy knows');
is(told('postgres', "SELECT outcome, response_body FROM idempotency_claim('$traveller', 'before', '{}')"), 'replay|kept', '... its keys are there');
is($from->safe_psql('postgres', "SELECT count(*) FROM idempotency_keys WHERE tenant_id = '$traveller'"), '0', '... and no more where they were');
is(ask("SELECT string_agg(tenant_id, ' ' ORDER BY tenant_id) FROM webhook_inbox_fetch(100)"), join(' ', sort @tenants), '... every event is handed out once');
ask(q{SELECT idempotency_forget_tenant(tenant) FROM tenants});

# The storm.  Now and then a shard is killed, or a session of the proxy's.
my $kills = 0;
my $kill_shard = sub {
	my $shard = $shards[ $kills++ % @shards ];
	kill_server($shard);
	$shard->start;
	return 1;
};
my $terminate = sub { return ask_of_backend($proxy, 'pg_terminate_backend(pid)') eq 't'; };

$sharded->route($Clients::routed);
$clients->start($proxy->connstr('postgres'), '--proxy', '--tenants', @tenants);
$clients->ride_out(map { [ $_ * $clients->total / 14, $_ % 3 == 0 ? $terminate : $kill_shard ] } 1 .. 9);
$clients->check($proxy, rare => 'resumed');

# The workers.
$sharded->route($Workers::routed);
my %one_on = map { $shard_of{$_}->name => $_ } @tenants;
my $workers = Workers->new($proxy, tenants => [ values %one_on ], events => 10, call_on => \@shards);
$workers->start;
$workers->ride_out(
	map { [ $_ * $workers->{total} / 16, $_ % 3 == 1 ? $kill_shard : $_ % 3 == 2 ? sub { $workers->kill_client } : $terminate ] } 1 .. 10);
$workers->check;

# Nobody met with anything else.
my %expected = (
	%Workers::expected_errors,
	'40001' => 'overtaken',
	'40P01' => 'in a deadlock');
my %tried = map { $_ => 'tried above' } @sqlstates, '0A000', '42501';
log_tells_only($_, { %expected, %tried }) foreach @shards;
log_tells_only(
	$proxy,
	{   %expected, %tried,
		'XX000' => 'a shard was lost',
		'01000' => '... and passed over',
		'08006' => '... with all others',
		'P0001' => 'a function has no rule',
		'25P02' => '... which ends the set-up' },
	'XX000', 'XX999', 'IK004');

$_->stop foreach $sharded->all;
done_testing();
