# A coordinator and workers of Citus.  It is used like the coordinator's node.
package CitusCluster;
use strict;
use warnings;
use File::Basename qw(dirname);
use PostgreSQL::Test::Cluster;

my $recipe = dirname(__FILE__) . '/../../sharding/citus';

my $settings = q{
	shared_preload_libraries = 'citus, idempotency'
	citus.enable_statistics_collection = off
	max_connections = 200
	max_prepared_transactions = 200
};

# Nodes that are set up but not started.
sub new
{
	my ($class, $name, $workers) = @_;
	my $self = bless { nodes => [ map { PostgreSQL::Test::Cluster->new($_) } "${name}_coordinator", map { "${name}_worker$_" } 1 .. $workers ] }, $class;

	$_->init foreach @{ $self->{nodes} };
	$self->append_conf('postgresql.conf', $settings);
	return $self;
}

sub coordinator
{
	my ($self) = @_;
	return $self->{nodes}[0];
}

sub workers
{
	my ($self) = @_;
	my ($coordinator, @workers) = @{ $self->{nodes} };
	return @workers;
}

# What is set, is set on every node: a function may run on each.
sub append_conf
{
	my ($self, @arguments) = @_;
	$_->append_conf(@arguments) foreach @{ $self->{nodes} };
}

# Starts the nodes, and makes them one cluster.
sub start
{
	my ($self) = @_;
	foreach my $node (@{ $self->{nodes} })
	{
		$node->start;
		$node->safe_psql('postgres', 'CREATE EXTENSION citus');
	}
	$self->safe_psql('postgres', sprintf q{SELECT citus_set_coordinator_host('%s', %s)}, address($self->coordinator));
	$self->safe_psql('postgres', sprintf q{SELECT citus_add_node('%s', %s)}, address($_)) foreach $self->workers;
}

sub address
{
	my ($node) = @_;
	return ($node->host, $node->port);
}

# Runs files of the recipe.
sub follow
{
	my ($self, @files) = @_;
	$self->safe_psql('postgres', "\\i $recipe/$_") foreach @files;
}

sub stop
{
	my ($self) = @_;
	$_->stop foreach @{ $self->{nodes} };
}

# Anything else is asked of the coordinator.
our $AUTOLOAD;

sub AUTOLOAD
{
	my ($self, @arguments) = @_;
	my $method = $AUTOLOAD =~ s/.*:://r;
	return if $method eq 'DESTROY';
	return $self->coordinator->$method(@arguments);
}

1;
