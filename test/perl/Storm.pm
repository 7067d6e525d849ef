# What tests have in common that let accidents happen to a server under load.
package Storm;
use strict;
use warnings;
use Exporter qw(import);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

our @EXPORT_OK = qw(ride_out ask_of_backend kill_server log_tells_only);

# Lets accidents happen until the storm is over.  An accident is a progress that
# has to be made before, and a sub that is called until it returns true.  What
# the first argument returns is the progress, and whether it is over.  Returns
# whether it was before the deadline, and how many accidents didn't happen.
sub ride_out
{
	my ($look, @accidents) = @_;
	my $deadline = time() + $PostgreSQL::Test::Utils::timeout_default;
	my $is_over = 0;

	until ($is_over || time() > $deadline)
	{
		(my $progress, $is_over) = $look->();
		shift @accidents
		  while !$is_over && @accidents && $progress >= $accidents[0][0] && $accidents[0][1]->();
		usleep(20_000);
	}
	return ($is_over, scalar(@accidents));
}

# Asks something about a session, one that is in a transaction if possible.
sub ask_of_backend
{
	my ($node, $what) = @_;
	my ($result, $out) = $node->psql('postgres', qq{
		SELECT $what FROM pg_stat_activity
		WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
		ORDER BY xact_start IS NULL, random() LIMIT 1});
	return $result == 0 ? $out : '';
}

# The state and the parent of a process; nothing if there is none.
sub status
{
	my ($pid) = @_;
	open my $file, '<', "/proc/$pid/stat" or return;
	my $stat = <$file> // '';
	return $stat =~ /.*\) (\w) (\d+)/;
}

# SIGKILL to a whole server.  The postmaster is stopped before, so that it has
# no more children than are seen.
sub kill_server
{
	my ($node) = @_;
	my $pid_file = $node->data_dir . '/postmaster.pid';
	my ($postmaster) = slurp_file($pid_file) =~ /^(\d+)/;
	my $deadline = time() + $PostgreSQL::Test::Utils::timeout_default;
	my @pids;

	kill 'STOP', $postmaster;
	@pids = grep { ((status($_))[1] // 0) == $postmaster } map { /(\d+)/ } glob '/proc/[0-9]*';
	kill 'KILL', @pids;
	$node->kill9;
	while (grep { ((status($_))[0] // 'Z') ne 'Z' } $postmaster, @pids)
	{
		die 'the server is still alive' if time() > $deadline;
		usleep(1_000);
	}

	# where nobody buries the orphaned dead, a new server would take them for
	# the owners of these
	unlink $pid_file, glob $node->host . '/.s.PGSQL.' . $node->port . '*';
}

# Tests that nobody met with anything but what was expected, by what a log says
# whose lines begin with the SQLSTATE: those that may occur, each with a
# meaning, and those that must.
sub log_tells_only
{
	my ($node, $expected, @certain) = @_;
	my $log = slurp_file($node->logfile);
	my %met;

	$met{$1}++ while $log =~ /^(\w{5}) (?:WARNING|ERROR|FATAL|PANIC): /mg;
	is(join(' ', grep { !$expected->{$_} } sort keys %met), '', 'no other errors');
	is(join(' ', grep { !$met{$_} } @certain), '', '... and these did occur');
	unlike($log, qr/terminated by signal (?!9\b)|PANIC: |TRAP: /, 'no crash of its own');
}

1;
