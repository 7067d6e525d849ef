# A PL/Proxy proxy and its shards, each a server of its own, as sharding/plproxy
# sets them up.
package Shards;
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;

my $folder = 'sharding/plproxy';

# The servers, initialised but not started.
sub new
{
	my ($class, $count) = @_;
	my $self = bless {
		proxy => PostgreSQL::Test::Cluster->new('proxy'),
		shards => [ map { PostgreSQL::Test::Cluster->new("shard$_") } 1 .. $count ] }, $class;
	$_->init foreach $self->all;
	return $self;
}

# How to connect to one of them.
sub address
{
	my ($node) = @_;
	return 'host=' . $node->host . ' port=' . $node->port . ' dbname=postgres';
}

sub all
{
	my ($self) = @_;
	return ($self->{proxy}, @{ $self->{shards} });
}

# Makes the proxy, once the shards have the extension.
sub set_up
{
	my ($self) = @_;
	system_or_bail("$folder/setup", map { address($_) } $self->all);
}

# What the generator writes, or with functions, what it writes for these.
sub definitions
{
	my ($self, $functions) = @_;
	my $shard = $self->{shards}[0];
	my $definitions = '';
	run_log([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $shard->connstr('postgres'),
		$functions ? ('-v', "functions=$functions") : (), '-f', "$folder/generate.sql" ],
		'>', \$definitions) or die 'nothing is generated';
	return $definitions;
}

# Makes functions of the shards' callable through the proxy.
sub route
{
	my ($self, $functions) = @_;
	$self->{proxy}->safe_psql('postgres', $self->definitions($functions));
}

# Makes views on the proxy of the shards' tables.
sub show_all
{
	my ($self, @tables) = @_;
	my $number = 0;
	my $list = join ', ', @tables;
	$self->{proxy}->safe_psql('postgres', join "\n", 'CREATE EXTENSION postgres_fdw;',
		(map {
			$number++;
			my ($host, $port) = ($_->host, $_->port);
			"CREATE SERVER shard$number FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '$host', port '$port', dbname 'postgres');
			 CREATE USER MAPPING FOR PUBLIC SERVER shard$number;
			 CREATE SCHEMA shard$number;
			 IMPORT FOREIGN SCHEMA public LIMIT TO ($list) FROM SERVER shard$number INTO shard$number;"
		} @{ $self->{shards} }),
		(map {
			my $table = $_;
			"CREATE VIEW $table AS " . join(' UNION ALL ', map { "SELECT * FROM shard$_.$table" } 1 .. $number) . ';'
		} @tables));
}

# The shard that a tenant is on, by what the proxy says.
sub shard_of
{
	my ($self, $tenant) = @_;
	my $server = $self->{proxy}->safe_psql('postgres', "SELECT idempotency_shard('$tenant')");
	my ($shard) = grep { address($_) eq $server } @{ $self->{shards} };
	return $shard;
}

1;
