# What README.md, the manual and the examples' READMEs refer to is there: files,
# headings, names of the extension, and the parts of files and drawings that they show.
use strict;
use warnings;
use File::Basename qw(dirname);
use lib dirname(__FILE__) . '/../perl';
use Documents;
use PostgreSQL::Test::Utils;
use Test::More;

# A heading's anchor, as the forges make it.
sub anchor
{
	my ($heading) = @_;
	return lc($heading) =~ s/[^\w\- ]//gr =~ s/ /-/gr;
}

# The anchors of a page; a heading that comes again is numbered.
sub anchors
{
	my ($page) = @_;
	my (%anchors, %seen);
	foreach my $heading (prose($page) =~ /^#+ +(.*?) *$/mg)
	{
		my $anchor = anchor($heading);
		my $number = $seen{$anchor}++;
		$anchors{ $number ? "$anchor-$number" : $anchor } = 1;
	}
	return \%anchors;
}

# Why a link of a page leads nowhere; nothing if it leads somewhere.
sub dead_link
{
	my ($page, $link) = @_;
	my ($path, $anchor) = split /#/, $link, 2;
	my $file = $path eq '' ? $page : dirname($page) . "/$path";
	return "$link: no such file" unless -e $file;
	return unless defined $anchor;
	return "$link: no such heading" unless -f $file && anchors($file)->{$anchor};
	return;
}

my @examples = map { glob $_ } 'examples/README.md', 'examples/*/README.md';
my $links = 0;
foreach my $page (documents(), @examples)
{
	my @links = grep { !/^(https?|mailto):/ } prose($page) =~ /\]\(([^()\s]+)\)/g;
	$links += @links;
	is(join("\n", map { dead_link($page, $_) } @links), '', "every link of $page leads somewhere");
}
cmp_ok($links, '>', 100, 'there are links');

# The reference has everything there is (029_reference.pl), in a heading or in front of a
# row, but for what sharding adds.
my %known = map { $_ => 1 } slurp_file('docs/reference.md') =~ /^(?:### (?:\w+ )?|\| (?:\w+ )?`)([\w.]+)/mg,
	map { slurp_file($_) =~ /^CREATE (?:FUNCTION|PROCEDURE) (?:[^\s(]+\.)?(\w+)/mg } glob 'sharding/*/*.sql';
foreach my $page (documents())
{
	my %named = map { $_ => 1 } slurp_file($page) =~ s{https?://\S+}{}gr =~ /\b((?:idempotency[._]|webhook_)\w*[a-z]\b|IK\d{3})\b/g;
	is(join(' ', grep { !$known{$_} && !-e $_ } sort keys %named), '', "what $page names of the extension exists");
}

# A block of code that names a file is part of it.
foreach my $page (documents())
{
	foreach my $part (grep { $_->{info} =~ / / } fences($page))
	{
		my (undef, $file) = split / /, $part->{info};
		my ($line) = $part->{body} =~ /(\S.*)/;
		ok(index(slurp_file(dirname($page) . "/$file"), $part->{body}) >= 0, "$page shows $file as it is: $line");
	}
}

# Text without the margin that all its lines have.
sub without_margin
{
	my ($text) = @_;
	my ($margin) = sort { $a <=> $b } map { length } $text =~ /^( *)\S/mg;
	return $text =~ s/^ {$margin}//mgr;
}

my %drawn = map { without_margin(s/^ \*\t\t//mgr) => 1 }
	map { slurp_file($_) =~ /((?:^ \*\t\t.*\n)+)/mg } 'src/key.h', 'src/inbox.h';
foreach my $page (documents())
{
	foreach my $drawing (grep { /^ *absent -/m } map { $_->{body} } fences($page))
	{
		ok($drawn{ without_margin($drawing) }, "a state machine in $page is the one in src");
	}
}
done_testing();
