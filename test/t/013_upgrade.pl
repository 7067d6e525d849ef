# Keys and events survive a dump and pg_upgrade, in every state, and go on from
# there.  The environment's oldinstall names the older PostgreSQL to upgrade
# from, as in PostgreSQL's own test; without it, it is the same.
use strict;
use warnings;
use File::Basename qw(dirname);
use lib dirname(__FILE__) . '/../perl';
use EveryState;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# Checksums, as the default isn't the same in all versions.
my $old = PostgreSQL::Test::Cluster->new('old', install_path => $ENV{oldinstall});
$old->init(extra => ['-k']);
$old->start;
$old->safe_psql('postgres', q{
	CREATE EXTENSION idempotency;
	CREATE ROLE app;
	GRANT EXECUTE ON FUNCTION idempotency_claim TO app;});
make_every_state($old, 'postgres');
my $digest = digest($old, 'postgres');
my $answers = answers($old, 'postgres');
is(digest($old, 'postgres'), $digest, 'answering changes nothing');

sub check_copy
{
	my ($node, $db, $what) = @_;
	is(digest($node, $db), $digest, "$what: every row is the same");
	is(answers($node, $db), $answers, '... and is replayed byte for byte');
	is( $node->safe_psql($db, q{
			SELECT proname, has_function_privilege('app', oid, 'EXECUTE') FROM pg_proc
			WHERE proname IN ('idempotency_claim', 'idempotency_forget') ORDER BY 1}),
		"idempotency_claim|t\nidempotency_forget|f", '... grants are kept');
	goes_on($node, $db);
}

my %restore = (
	plain => [ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-f' ],
	custom => [ 'pg_restore', '--exit-on-error' ]);
foreach my $format ('plain', 'custom')
{
	my $dump = $old->basedir . "/dump.$format";
	$old->safe_psql('postgres', "CREATE DATABASE $format");
	$old->command_ok([ 'pg_dump', '-F', $format, '-f', $dump, '-d', $old->connstr('postgres') ], "a $format dump");
	$old->command_ok([ @{ $restore{$format} }, $dump, '-d', $old->connstr($format) ], '... is restored');
	check_copy($old, $format, "a $format dump");
}

my $new = PostgreSQL::Test::Cluster->new('new');
$new->init(extra => ['-k']);
$old->stop;
chdir $PostgreSQL::Test::Utils::tmp_check;	# pg_upgrade leaves a script there
$new->command_ok([
		'pg_upgrade', '--no-sync', '-s', $new->host,
		'-d', $old->data_dir, '-b', $old->config_data('--bindir'), '-p', $old->port,
		'-D', $new->data_dir, '-B', $new->config_data('--bindir'), '-P', $new->port ],
	'pg_upgrade');
$new->start;
check_copy($new, 'postgres', 'pg_upgrade');

$new->stop;
done_testing();
