# The pages of the documentation, and what is in them.
package Documents;

use strict;
use warnings;
use Exporter 'import';
use PostgreSQL::Test::Utils;

our @EXPORT = qw(documents fences sql_blocks prose);

my $fence = qr/^```(?<info>.*)\n(?<body>(?s:.*?))^```\n/m;

# README.md and the manual.
sub documents
{
	return ('README.md', sort glob 'docs/*.md');
}

# The blocks of code of a page, each with what is said behind its first fence.
sub fences
{
	my ($page) = @_;
	my $content = slurp_file($page);
	my @fences;
	push @fences, {%+} while $content =~ /$fence/g;
	return @fences;
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

1;
