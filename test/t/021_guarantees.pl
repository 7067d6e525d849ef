# Each promise in docs/guarantees.md names tests that are there, and those of
# pg_regress are listed to be run.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;

my @promises;
foreach my $row (slurp_file('docs/guarantees.md') =~ /^\| (.*) \|$/mg)
{
	my ($promise, undef, $tests) = split / *\| */, $row, -1;
	push @promises, [ $promise, $tests ] unless $promise eq 'promise' || $promise =~ /^---/;
}
cmp_ok(scalar(@promises), '>', 20, 'promises are made');

my $makefile = slurp_file('Makefile') =~ s/\\\n//gr;
my %listed = map { $_ => " $makefile " =~ /^$_ =(.*)$/m ? $1 : '' } 'REGRESS', 'ISOLATION';

foreach (@promises)
{
	my ($promise, $tests) = @$_;
	my @files = $tests =~ /`([^`]+)`/g;
	my @missing = grep { !-e $_
		|| m{^test/sql/(\w+)} && $listed{REGRESS} !~ /\b$1\b/
		|| m{^test/specs/(\w+)} && $listed{ISOLATION} !~ /\b$1\b/ } @files;
	is(@files > 0 ? "@missing" : 'no test', '', $promise);
}
done_testing();
