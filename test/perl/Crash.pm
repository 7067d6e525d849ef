# A backend that is killed, and with it, for a moment, the whole server.
package Crash;
use strict;
use warnings;
use Exporter 'import';

our @EXPORT_OK = qw(crash);

# Runs something that kills a backend of a server that restarts after a crash,
# and waits until it is back: its other processes are new then.
sub crash
{
	my ($node, $kill) = @_;
	my $checkpointer = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'";
	my $before = $node->safe_psql('postgres', $checkpointer);

	$kill->();
	$node->poll_query_until('postgres', "SELECT pid <> $before FROM ($checkpointer) AS c") or die 'the server is not back';
}

1;
