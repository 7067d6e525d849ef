# Values to call functions with, good and hostile ones, as SQL expressions.
package Hostile;
use strict;
use warnings;
use utf8;
use Exporter 'import';

our @EXPORT = qw(pick chance good_value hostile_value hostile_setting);

# One of a list, which may be functions.
sub pick
{
	my $value = $_[ rand @_ ];
	return ref $value ? $value->() : $value;
}

sub chance
{
	my ($probability) = @_;
	return rand() < $probability;
}

# Few names, so that calls meet each other.
my %pool = (
	tenant_id => [ map { "'tenant $_'" } 1 .. 6 ],
	scope => [ "''", "'pay'" ],
	key => [ "'a'", "'b'", "'c'", "'00000000-0000-0000-0000-00000000000d'" ],
	source => [ "'shop'", "'bank'" ],
	event_id => [ map { "'e$_'" } 1 .. 8 ],
	stream => [ 'NULL', "'s1'", "'s2'" ]);

my @request = ('NULL', q('{"n": 1}'), q('{"n": 1.0}'), q('{"n": 2}'));

my @short = ("'0'", "'1 ms'", "'1 min'", "'30 min'", "'1 h'");

my @handlers = qw(
  answer(jsonb) strict_answer(jsonb) respond(jsonb) no_answer(jsonb) fail(jsonb) meddle(jsonb) nest(jsonb)
  handle(webhook_event) handle_badly(webhook_event) meddle(webhook_event) become_other(webhook_event));

my %good = (
	request => sub { pick(@request) },
	payload => sub { pick(@request) },
	response_status => sub { pick(200, 201, 302, 404, 422, 503) },
	response_headers => sub { pick('NULL', q('{"X-A": "1", "Set-Cookie": "s"}'), q('[{"a": "1"}, {"a": "2"}]')) },
	lease => sub { pick('NULL', @short) },
	ttl => sub { pick('NULL', @short, "'1 day'") },
	wait => sub { pick('NULL', "'0'", "'1 ms'") },
	retry_in => sub { pick('NULL', @short) },
	events => sub {
		return 'jsonb_build_array(' . join(', ', map {
			"jsonb_build_object('event_id', " . pick(@{ $pool{event_id} }) . ", 'stream', " . pick(@{ $pool{stream} })
			  . ", 'sequence', " . pick(1 .. 9) . ", 'payload', '{}'::jsonb, 'processed', " . pick('true', 'false') . ')'
		} 1 .. pick(1, 3, 30)) . ')';
	},
	profile => sub { pick("'app'", "'worker'", "'admin'") },
	max_rows => sub { pick(1, 10, 1000) },
	max_events => sub { pick(1, 2, 10, 100) });

my %good_of_type = (
	'text' => sub { pick("'x'", "'some text'", "'änderung €'") },
	'bytea' => sub { pick("'x'", "'\\x00ff'") },
	'bigint' => sub { pick(1 .. 9) },
	'integer' => sub { pick(1 .. 9) },
	'boolean' => sub { pick('true', 'false', 'NULL') },
	'interval' => sub { pick(@short) },
	'jsonb' => sub { pick(@request) },
	'uuid' => sub { "'6ba7b810-9dad-11d1-80b4-00c04fd430c8'" },
	'text[]' => sub { pick("ARRAY['a']", "ARRAY['a', 'b:c']") },
	'regrole' => sub { pick("'fuzz_app'", "'fuzz_nobody'") },
	'idempotency_profiles[]' => sub { 'ARRAY(SELECT p FROM idempotency_profiles AS p)' },
	'regprocedure' => sub { "'" . pick(@handlers) . "'" });

# What the row that the call is about has for a token.
sub current_token
{
	my ($given) = @_;
	my ($table, @columns) = exists $given->{event_id} ? ('webhook_inbox', 'tenant_id', 'source', 'event_id') :
	  ('idempotency_keys', 'tenant_id', 'key', 'scope');
	return 'NULL' if grep { !defined $given->{$_} } @columns;
	# above READ COMMITTED a snapshot may show a row that was deleted since, beside ours
	return "(SELECT max(token) FROM $table WHERE (" . join(', ', @columns) . ') = (' . join(', ', @{$given}{@columns}) . '))';
}

# A value that makes sense for an argument.  A focus has what the calls around
# it are about, and given what this one is.
sub good_value
{
	my ($argument, $focus, $given) = @_;
	my ($name, $type) = @{$argument}{ 'name', 'type' };

	return current_token($given) . pick(('') x 10, ' + 1', ' - 1') if $name eq 'token';
	if ($pool{$name})
	{
		return 'NULL' if $argument->{is_optional} && chance(0.5) && $name ne 'scope';
		$focus->{$name} = pick(@{ $pool{$name} }) if !defined $focus->{$name} || chance(0.2);
		return $focus->{$name};
	}
	my $values = $good{$name} // $good_of_type{$type} // sub { 'NULL' };
	return $values->();
}

sub repeated
{
	my ($what, @counts) = @_;
	return map { "repeat('$what', $_)" } @counts;
}

# Half a million bytes that can't be compressed.
my $incompressible = "(SELECT string_agg(md5(i::text), '') FROM generate_series(1, 16000) AS i)";

my @words = (
	"''", "' '", "'%s%n%1\$s'", "''' OR true --'", "'\"'", "'{}'", "'NULL'", "E'\\\\'", "'ﷺ'", "'e\x{301}'", "chr(1114111)",
	"chr(65279)", "E'\\n'", "E'a\\001b'", "E'\\177'", "U&'\\0085'", "U&'\\00a0'", "E'\\xc3'", 'chr(0)', "':'", "'a:b\\c'",
	"'null'", "'00000000-0000-0000-0000-00000000000g'",
	repeated('x', 254 .. 257), repeated('é', 127, 128, 255, 256), repeated('x', 1) . " || repeat('é', 127)",
	repeated('€', 85, 86, 255, 256), repeated('😀', 63, 64, 255, 256));

my @huge = (repeated('y', 3_000_000), repeated('€', 1_000_000), $incompressible);

sub word { return chance(0.005) ? pick(@huge) : pick(@words); }

my @integers = (0, -1, -2147483648, 2147483647, 99, 100, 599, 600, 1);

my @bigints = (@integers, '(-9223372036854775807 - 1)', '9223372036854775807', '9223372036854775806', '1763740000000000');

my @intervals = (
	"'-1 us'", "'1 us'", "'-1 day'", "'1 mon -30 days'", "'1 mon -31 days'", "'-1 mon 1000 days'", "'1 year -366 days'",
	"'178000000 years'", "'-178000000 years'", "'2147483647 mons'", "'-2147483648 mons'",
	"'2147483647 days'", "'-2147483648 days'", "'2147483647 mons 2147483647 days 2562047788:00:54.775807'",
	"'-2147483648 mons -2147483648 days -2562047788:00:54.775808'", "'2562047788:00:54.775807'", "'292000 years'",
	"'294246 years'", "'290000 years'", "'1000 years'", "'0.5 us'", "'infinity'", "'-infinity'");

my @numbers = qw(0 -0 1e-0 1.000 1e1000 1e100000 -1e131071 1e131072 1e-16000 123456789012345678901234567890.5 9223372036854775808);

# A document of many levels.  The deepest can't be parsed.
sub deep
{
	my $depth = pick(100, 1000, 3000, 100_000);
	return pick("(repeat('[', $depth) || repeat(']', $depth))", "(repeat('{\"a\":', $depth) || '1' || repeat('}', $depth))",
		"(repeat('[{\"a\":', $depth) || '1' || repeat('}]', $depth))");
}

# A list of events with something wrong.
sub bad_events
{
	my $member = pick(qw(event_id payload event_type headers stream sequence ttl processed unknown), '');
	my $value = chance(0.5) ? 'to_jsonb(CAST(' . word() . ' AS text))' :
	  "'" . pick('null', '1', '-1', '1.5', '1e30', '9223372036854775807', '"9223372036854775808"', '"x"', '"1 day"', '"-1 day"', 'true', '[]', '{}') . "'::jsonb";
	return qq(jsonb_build_array(jsonb_build_object('event_id', 'e1', '$member', $value), '{"event_id": "e2", "event_id": "e3"}'::jsonb));
}

my @documents = (
	"'null'", "'0'", "'\"\"'", "'[]'", "'{}'", "'[[]]'", "'[{}]'", "'{\"\": null}'", "'true'", "''", "'{'", "'[1,]'",
	q('{"a": 1, "a": 2, "b": {"b": 1, "b": {}}}'), q('"\u00e9\ud83d\ude00\"\\\\"'), q('"\u0000"'), q('"\ud83d"'),
	q('{"\u0041": "\u0001"}'), q('{"x": [{"y": [1, "1", null, [], {}]}]}'),
	q('[{"Set-Cookie": {"a": 1}}, {"authorization": [1]}]'), q('[1, {"a": 2}]'), q('{"SET-COOKIE": {"Authorization": 1}, "b": 2}'),
	sub { "'" . pick(@numbers) . "'" }, sub { '\'{"n": ' . pick(@numbers) . '}\'' }, \&bad_events);

# These take longer.
my @big_documents = (
	\&deep,
	"(SELECT jsonb_agg(i) FROM generate_series(1, 5000) AS i)",
	"(SELECT jsonb_object_agg(md5(i::text), i) FROM generate_series(1, 3000) AS i)",
	"(SELECT jsonb_agg(jsonb_build_object('event_id', i, 'stream', i % 400)) FROM generate_series(1, 500) AS i)",
	"(SELECT jsonb_agg(jsonb_build_object('event_id', 'e' || i % 300, 'stream', 's', 'sequence', -i)) FROM generate_series(1, 600) AS i)",
	"to_jsonb(repeat('z', 2000000))", "jsonb_build_object(repeat('k', 70000), 1)", "to_jsonb($incompressible)");

sub document { return chance(0.05) ? pick(@big_documents) : pick(@documents); }

my %hostile = (
	'text' => \&word,
	'bytea' => sub { pick("''", "'\\x00'", "'\\'", "convert_to($incompressible, 'UTF8')") },
	'integer' => sub { pick(@integers) },
	'bigint' => sub { pick(@bigints) },
	'boolean' => sub { pick('true', 'false', "'maybe'") },
	'interval' => sub { pick(@intervals) },
	'jsonb' => \&document,
	'uuid' => sub { pick("'00000000-0000-0000-0000-000000000000'", "'ffffffff-ffff-ffff-ffff-ffffffffffff'", "'x'") },
	'text[]' => sub {
		pick("'{}'", 'ARRAY[NULL]', "'{{a,b},{c,NULL}}'", "'{{{{{{a}}}}}}'", "'[-2:-1]={a,b}'", "ARRAY[" . word() . ', ' . word() . ']',
			"array_fill('x'::text, ARRAY[100, 100])", "array_fill(repeat('\\:', 100), ARRAY[2, 2, 2, 2, 2, 2])", "'{'");
	},
	'regrole' => sub { pick('0', '4294967295', '10', "'pg_monitor'", "'nobody_at_all'", '-1') },
	'regprocedure' => sub {
		pick('0', '4294967295', '$dropped', "'deepen(jsonb)'", "'several(jsonb)'", "'a_procedure(jsonb)'", "'jsonb_array_elements(jsonb)'", "'jsonb_agg(anyelement)'",
			"'now()'", "'jsonb_array_length(jsonb)'", "'jsonb_strip_nulls(jsonb)'", "'several(webhook_event)'", "'any_event(anyelement)'",
			"'answer(text)'", "'webhook_inbox_process(regprocedure,text,text,integer)'", "'idempotency_request_hash(jsonb)'");
	});

# Any value of a type, also one that can't be read as such.
sub hostile_value
{
	my ($argument) = @_;
	my $values = $hostile{ $argument->{type} } // \&word;

	return 'NULL' if chance(0.15);
	return bad_events() if $argument->{name} eq 'events' && chance(0.7);
	return $values->();
}

my @setting_strings = (
	"'0'", "'1ms'", "'1 h'", "'1 day'", "''", "'-1'", "'x'", "'infinity'", "'P1Y2M'", "'178000000 years'", "'292000 years'", "'-1 day'",
	"'9223372036854775807'", "repeat('1 ', 200)", "'408,5xx'", "'429 , 4XX\t503'", "'6xx'", "'set-cookie, x-a'", "'2562047788:00:54.775807'",
	"'tenant 1'", "'tenant 2'");

my @good_settings = (
	[ 'clock_offset', "'1 h'", "'25 h'", "'8 days'", "'-1 h'", "'-30 years'" ], ([ 'tombstone_ttl', "'1 day'", "'1000 years'" ]) x 3, [ 'success_ttl', "'1 s'", "'0'" ],
	([ 'keep_request', "'on'" ]) x 2, ([ 'webhook_max_attempts', "'1'", "'2'" ]) x 2, [ 'webhook_backoff_base', "'0'" ],
	[ 'retryable_statuses', "'2xx,5xx'" ], [ 'webhook_notify', "'on'" ], [ 'wait', "'1 ms'" ]);

# A setting and its new value, which may not be acceptable.  Each of the given
# ones has a name, a type, its least and its greatest value, and its words.
sub hostile_setting
{
	my @settings = @_;

	if (chance(0.7))
	{
		my ($name, @values) = @{ $good_settings[ rand @good_settings ] };
		return ("idempotency.$name", pick(@values));
	}
	my $setting = $settings[ rand @settings ];
	my ($type, $least, $greatest, $words) = @{$setting}{qw(type least greatest words)};
	return ($setting->{name}, pick(
			$type eq 'bool' ? ("'on'", "'off'", "'maybe'") :
			$type eq 'enum' ? (map { "'$_'" } @$words, 'x') :
			$type eq 'string' ? @setting_strings : (map { "'$_'" } $least, $greatest, $least - 1, $greatest + 1, 'x', '')));
}

1;
