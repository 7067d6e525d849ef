# The pages of the documentation, and what is in them.
package Documents;

use strict;
use warnings;
use Exporter 'import';
use PostgreSQL::Test::Utils;

our @EXPORT = qw(documents sql_blocks prose shown_parts);

my $fence = qr/^```(?<info>.*)\n(?<body>(?s:.*?))^```\n/m;

# README.md and the manual.
sub documents
{
	return ('README.md', sort glob 'docs/*.md');
}

# The SQL of a page, each block with the text that it prints if that is shown.
sub sql_blocks
{
	my ($page) = @_;
	my @blocks;
	my $content = slurp_file($page);
	while ($content =~ /^```sql\n(.*?)^```\n(?:^```text\n(.*?)^```\n)?/gms)
	{
		push @blocks, { sql => $1, text => $2 };
	}
	return @blocks;
}

# A page without its blocks of code.
sub prose
{
	my ($page) = @_;
	return slurp_file($page) =~ s/$fence/\n/gr;
}

# The parts of files that a page shows: the block names the file.
sub shown_parts
{
	my ($page) = @_;
	my @parts;
	my $content = slurp_file($page);
	while ($content =~ /$fence/g)
	{
		my ($info, $body) = @+{qw(info body)};
		push @parts, { file => $1, body => $body } if $info =~ /^\w+ (\S+)$/;
	}
	return @parts;
}

1;
