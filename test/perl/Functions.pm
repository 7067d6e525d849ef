# What there is to be called: every function and procedure of the extension, as
# the catalog has them.  So a test of all of them also tests those that a later
# version adds.
package Functions;
use strict;
use warnings;
use Exporter 'import';

our @EXPORT = qw(extension_functions);

# Each has a name, a signature, is_procedure, returns_set, is_variadic, and
# arguments with a name, a type and whether it is optional.
sub extension_functions
{
	my ($node) = @_;
	my $rows = $node->safe_psql('postgres', q{
		SELECT p.oid::regprocedure, p.proname, p.prokind = 'p', p.proretset, p.provariadic <> 0,
			(SELECT string_agg(concat_ws(':', p.proargnames[i], format_type(type, NULL), i > p.pronargs - p.pronargdefaults), ';' ORDER BY i)
			 FROM unnest(p.proargtypes) WITH ORDINALITY AS a (type, i))
		FROM pg_depend AS d JOIN pg_proc AS p ON p.oid = d.objid
		WHERE d.classid = 'pg_proc'::regclass AND d.deptype = 'e' AND d.refclassid = 'pg_extension'::regclass
			AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'idempotency')
		ORDER BY 1});
	my @functions;
	foreach my $row (split /\n/, $rows)
	{
		my ($signature, $name, $is_procedure, $is_set, $is_variadic, $list) = split /\|/, $row;
		my @arguments;
		foreach my $argument (split /;/, $list // '')
		{
			my ($argument_name, $type, $is_optional) = split /:/, $argument;
			push @arguments, { name => $argument_name, type => $type, is_optional => $is_optional eq 't' };
		}
		push @functions,
		  { signature => $signature, name => $name, is_procedure => $is_procedure eq 't',
			returns_set => $is_set eq 't', is_variadic => $is_variadic eq 't', arguments => \@arguments };
	}
	return @functions;
}

1;
