# The files in monitoring/: their queries run as the role that they are meant
# for, the real exporter gives the numbers of what was done, and dashboard and
# alerts ask for what is exported.
use strict;
use warnings;
use HTTP::Tiny;
use IPC::Run;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);
use YAML::XS;

# What the files say, by metric: its type, what it tells, its labels, the query
# and the column of its value.
sub postgres_exporter_metrics
{
	my ($file) = @_;
	my %metrics;
	foreach my $namespace (sort keys %$file)
	{
		my %spec = %{ $file->{$namespace} };
		my @columns = map { my ($name) = keys %$_; { name => $name, %{ $_->{$name} } } } @{ delete $spec{metrics} };
		my $query = delete $spec{query};
		delete $spec{cache_seconds};
		is_deeply(\%spec, {}, "postgres_exporter knows every word about $namespace");
		foreach my $column (grep { $_->{usage} ne 'LABEL' } @columns)
		{
			$metrics{"${namespace}_$column->{name}"} = {
				type => lc $column->{usage},
				help => $column->{description},
				labels => [ map { $_->{name} } grep { $_->{usage} eq 'LABEL' } @columns ],
				column => $column->{name},
				query => $query };
		}
	}
	return \%metrics;
}

sub sql_exporter_metrics
{
	my %metrics;
	foreach my $collector (@_)
	{
		my %query = map { $_->{query_name} => $_->{query} } @{ $collector->{queries} };
		is_deeply([ sort grep { $_ ne 'min_interval' } keys %$collector ], [ 'collector_name', 'metrics', 'queries' ],
			"sql_exporter knows every word about the collector $collector->{collector_name}");
		foreach my $metric (@{ $collector->{metrics} })
		{
			my %spec = %$metric;
			my $name = delete $spec{metric_name};
			$metrics{$name} = {
				labels => delete $spec{key_labels},
				column => join(' and ', @{ delete $spec{values} }),
				query => $query{ delete $spec{query_ref} },
				%spec };			# type and help: nothing else
		}
	}
	return \%metrics;
}

sub uncomment_tenant
{
	my ($text) = @_;
	$text =~ s/(?:#|--) (?=(?:- |, )?tenant)//g;
	return $text;
}

my %text = map { $_ => slurp_file("monitoring/$_") } 'postgres_exporter.yml', 'sql_exporter.collector.yml',
	'sql_exporter_activity.collector.yml', 'alerts.yml', 'grafana-dashboard.json';
my @collectors = ('sql_exporter.collector.yml', 'sql_exporter_activity.collector.yml');
my $metrics = postgres_exporter_metrics(Load($text{'postgres_exporter.yml'}));
my $by_tenant = postgres_exporter_metrics(Load(uncomment_tenant($text{'postgres_exporter.yml'})));

is_deeply(sql_exporter_metrics(map { Load($text{$_}) } @collectors), $metrics, 'both exporters are told the same');
is_deeply(sql_exporter_metrics(map { Load(uncomment_tenant($text{$_})) } @collectors), $by_tenant,
	'... also when what says tenant is uncommented');
is_deeply([ grep { !/^idempotency(_[a-z]+)+$/ } keys %$metrics ], [], 'the names are those of metrics');
is_deeply([ grep { /_total$/ xor $metrics->{$_}{type} eq 'counter' } keys %$metrics ], [], '... and _total is said of counters');
is_deeply([ grep { /_age/ and !/_age_seconds$/ } keys %$metrics ], [], '... and ages are in seconds');

# Things are done, a different number of each.
my $node = PostgreSQL::Test::Cluster->new('monitoring');
$node->init;
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'idempotency'");
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION idempotency;
	CREATE ROLE exporter LOGIN;
	ALTER ROLE exporter SET default_transaction_read_only = on;
	SELECT idempotency_grant('exporter', 'admin');});
my %done = (claimed => 32, resumed => 2, replayed => 13, in_progress => 4, mismatch => 5, gone => 6, completed => 12,
	released => 7, claim_lost => 8, recorded => 15, duplicate => 9, fetched => 11, retried => 3, dead => 1, swept => 10);
is(scalar(keys %{ { reverse %done } }), scalar(keys %done), 'the counters can be told apart');
my $clock = 'SELECT extract(epoch FROM clock_timestamp())';
my $started = $node->safe_psql('postgres', $clock);
$node->safe_psql('postgres', q{
	SELECT count(idempotency_complete('acme', 'done' || i, token, scope => 'orders'))
	FROM generate_series(1, 12) AS i, idempotency_claim('acme', 'done' || i, '1', 'orders');
	SELECT count((idempotency_claim('acme', 'done1', '1', 'orders')).outcome) FROM generate_series(1, 13);
	SELECT count((idempotency_claim('acme', 'done1', '2', 'orders')).outcome) FROM generate_series(1, 5);

	SELECT outcome FROM idempotency_claim('acme', 'running', lease => '1 h');
	SELECT count((idempotency_claim('acme', 'running')).outcome) FROM generate_series(1, 4);
	DO $$
	BEGIN
		FOR i IN 1 .. 8 LOOP
			BEGIN
				PERFORM idempotency_heartbeat('acme', 'running', 1);
			EXCEPTION WHEN SQLSTATE 'IK004' THEN
			END;
		END LOOP;
	END $$;

	SELECT count(idempotency_release('acme', 'released' || i, token, 'orders'))
	FROM generate_series(1, 7) AS i, idempotency_claim('acme', 'released' || i, scope => 'orders');
	SELECT count(outcome)
	FROM generate_series(1, 2) AS i, idempotency_claim('acme', 'released' || i, scope => 'orders', lease => '1 h');

	SELECT outcome FROM idempotency_claim('acme', 'lapsed', scope => 'orders', lease => '0');
	SELECT outcome FROM idempotency_claim('globex', 'lapsed', scope => 'orders', lease => '0');

	SET idempotency.tombstone_ttl = '1 h';
	SELECT outcome FROM idempotency_claim('acme', 'gone', ttl => '0');
	SELECT count((idempotency_claim('acme', 'gone')).outcome) FROM generate_series(1, 6);
	RESET idempotency.tombstone_ttl;
	SELECT count((idempotency_claim('acme', 'expired' || i, ttl => '0')).outcome) FROM generate_series(1, 9) AS i;
	SELECT * FROM idempotency_sweep();

	SELECT count((webhook_inbox_record('acme', 'stripe', 'e' || i)).outcome) FROM generate_series(1, 12) AS i;
	SELECT count((webhook_inbox_record('globex', 'stripe', 'e' || i)).outcome) FROM generate_series(1, 2) AS i;
	SELECT outcome FROM webhook_inbox_record('acme', 'github', 'e', processed => true);
	SELECT count((webhook_inbox_record('acme', 'stripe', 'e1')).outcome) FROM generate_series(1, 9);
	CREATE TEMP TABLE fetched AS SELECT *, row_number() OVER () AS n FROM webhook_inbox_fetch(11, tenant_id => 'acme');
	SELECT count(*) FROM (SELECT webhook_inbox_fail(tenant_id, source, event_id, token, 'x', '1 h') FROM fetched WHERE n <= 3) AS f;
	SELECT count(*) FROM (SELECT webhook_inbox_complete(tenant_id, source, event_id, token) FROM fetched WHERE n > 7) AS c;
	SET idempotency.webhook_max_attempts = 1;
	SELECT webhook_inbox_fail(tenant_id, source, event_id, token, 'x') FROM fetched WHERE n = 4;});
my $finished = $node->safe_psql('postgres', $clock);

# What the exporter is to say of it, series by series.  An age is given as the
# time since when.
my %counters = map { ("idempotency_${_}_total{datname=postgres}" => $done{$_}) } keys %done;
my %expected = (
	'as they are' => {
		%counters,
		keys_series('scope=orders', 2, 2, 5, 12, 1),
		keys_series('scope=', 1, 0, 0, 0, 1),
		webhooks_series('source=stripe', 9, 1, 1),
		webhooks_series('source=github', 0, 0, 0) },
	'by tenant' => {
		%counters,
		keys_series('scope=orders,tenant=acme', 2, 1, 5, 12, 1),
		keys_series('scope=orders,tenant=globex', 0, 1, 0, 0, 1),
		keys_series('scope=,tenant=acme', 1, 0, 0, 0, 1),
		webhooks_series('source=stripe,tenant=acme', 7, 1, 1),
		webhooks_series('source=stripe,tenant=globex', 2, 0, 1),
		webhooks_series('source=github,tenant=acme', 0, 0, 0) });

sub series
{
	my ($prefix, $labels, %values) = @_;
	return map { ("idempotency_${prefix}_$_\{datname=postgres,$labels}" => $values{$_}) } keys %values;
}

sub keys_series
{
	my ($labels, $in_progress, $lapsed, $released, $completed, $has_oldest) = @_;
	return series('keys', $labels, in_progress => $in_progress, lapsed => $lapsed, released => $released,
		completed => $completed, oldest_age_seconds => $has_oldest ? 'since then' : 0);
}

sub webhooks_series
{
	my ($labels, $backlog, $dead, $has_due) = @_;
	return series('webhooks', $labels, backlog => $backlog, dead => $dead,
		oldest_due_age_seconds => $has_due ? 'since then' : 0);
}

# What the views have is exported, and what the queries return is declared.
sub numbers_of
{
	my ($view) = @_;
	return split /\n/, $node->safe_psql('postgres', qq{
		SELECT attname FROM pg_attribute
		WHERE attrelid = '$view'::regclass AND attnum > 0 AND attname <> 'stats_reset' AND atttypid <> 'text'::regtype});
}

sub columns_of
{
	my ($type) = @_;
	my %columns = map { $metrics->{$_}{column} =~ s/_(?:total|age_seconds)$//r => 1 } grep { $metrics->{$_}{type} eq $type } keys %$metrics;
	return sort keys %columns;
}

my @counted = sort { $a cmp $b } numbers_of('idempotency_stats');
is_deeply([ columns_of('counter') ], \@counted, 'every counter is exported');
is_deeply([ sort keys %done ], \@counted, '... and each has something to tell here');
is_deeply([ columns_of('gauge') ], [ sort { $a cmp $b } numbers_of('idempotency_activity') ], 'every number of idempotency_activity is exported');

foreach my $files ([ 'as they are', $metrics ], [ 'by tenant', $by_tenant ])
{
	my ($how, $declared) = @$files;
	my %columns;
	foreach my $metric (values %$declared)
	{
		$columns{ $metric->{query} }{$_} = 'label' foreach @{ $metric->{labels} };
		$columns{ $metric->{query} }{ $metric->{column} } = 'value';
	}
	foreach my $query (sort keys %columns)
	{
		my ($namespace) = sort grep { $declared->{$_}{query} eq $query } keys %$declared;
		my $returned = $node->safe_psql('postgres', "$query\\gdesc", extra_params => [ '-U', 'exporter' ]);
		my %returned = map {
			/^(.*)\|(?:(name|text)|bigint|numeric|double precision)$/ ? ($1 => $2 ? 'label' : 'value') : ($_ => 'of no use')
		} split /\n/, $returned;
		is_deeply(\%returned, $columns{$query}, "$how: the query of $namespace and others returns what is declared");
	}
}

# The real exporter.
my $exporter;
END { local $?; $exporter->kill_kill if $exporter; }

sub scrape
{
	my ($text) = @_;
	my $path = $node->basedir . '/queries.yml';
	my $address = '127.0.0.1:' . PostgreSQL::Test::Cluster::get_free_port();
	my $log = '';
	unlink $path;
	append_to_file($path, $text);
	local $ENV{DATA_SOURCE_NAME} = 'user=exporter dbname=postgres sslmode=disable host=' . $node->host . ' port=' . $node->port;
	$exporter = IPC::Run::start([ 'prometheus-postgres-exporter', '--disable-default-metrics',
			"--extend.query-path=$path", "--web.listen-address=$address" ], '>', \$log, '2>&1');
	my $http = HTTP::Tiny->new(no_proxy => '127.0.0.1');
	my $deadline = time + $PostgreSQL::Test::Utils::timeout_default;
	my $response;
	until (($response = $http->get("http://$address/metrics"))->{success})
	{
		$exporter->pump_nb;
		die "no answer: $response->{content}\n$log" if time > $deadline or !$exporter->pumpable;
		usleep(50_000);
	}
	$exporter->kill_kill;
	$exporter = undef;
	return $response->{content};
}

foreach my $files ([ 'as they are', $metrics, $text{'postgres_exporter.yml'} ],
	[ 'by tenant', $by_tenant, uncomment_tenant($text{'postgres_exporter.yml'}) ])
{
	my ($how, $declared, $text) = @$files;
	my $before = $node->safe_psql('postgres', $clock);
	my $page = scrape($text);
	my $after = $node->safe_psql('postgres', $clock);
	my %said;
	while ($page =~ /^(idempotency_\w+)\{(.*)\} (\S+)$/mg)
	{
		my ($name, $labels, $value) = ($1, $2, $3);
		my @labels = grep { !/^server=/ } split /,/, $labels =~ s/"//gr;
		my $series = "$name\{" . join(',', @labels) . '}';
		# the oldest is from when things were done
		$value = 'since then' if $name =~ /_age_seconds$/ && $value >= $before - $finished && $value <= $after - $started;
		$said{$series} = $value ne 'since then' ? 0 + $value : $value;
	}
	is_deeply(\%said, $expected{$how}, "$how: postgres_exporter tells what was done");
	is_deeply({ $page =~ /^# TYPE (idempotency_\w+) (\w+)$/mg }, { map { $_ => $declared->{$_}{type} } keys %$declared }, '... and the types');
	is_deeply({ $page =~ /^# HELP (idempotency_\w+) (.*)$/mg }, { map { $_ => $declared->{$_}{help} } keys %$declared }, '... and the texts');
	is_deeply({ $page =~ /^(pg_exporter_last_scrape_error|pg_exporter_user_queries_load_error)(?:\{.*\})? (\S+)$/mg },
		{ pg_exporter_last_scrape_error => 0, pg_exporter_user_queries_load_error => 0 }, '... with no error');
}
$node->stop;

# What is wrong with an expression: it may ask for what is exported only, and of
# counters for their growth only.
sub faults
{
	my ($expression, @other_labels) = @_;
	my @faults;
	my %known = (instance => 1);
	while ($expression =~ /(\b(?:rate|increase)\()?\b(idempotency_\w+)/g)
	{
		my ($growth, $metric) = ($1, $metrics->{$2});
		push @faults, "there is no $2" unless $metric;
		push @faults, "$2 is a $metric->{type}" if $metric and ($metric->{type} eq 'counter') != defined $growth;
		$known{$_} = 1 foreach @{ $metric->{labels} };
	}
	my @labels = (@other_labels, grouped_by($expression), $expression =~ /[{,](\w+)(?==)/g);
	return @faults, map { "there is no label $_" } grep { !$known{$_} } @labels;
}

sub grouped_by
{
	my ($expression) = @_;
	return map { split /, */ } $expression =~ /\bby \(([^)]*)\)/g;
}

my @rules = map { @{ $_->{rules} } } @{ Load($text{'alerts.yml'})->{groups} };
my @alerts = sort map { $_->{alert} } @rules;
foreach my $rule (@rules)
{
	my @named = map { /\$labels\.(\w+)/g } values %{ $rule->{annotations} };
	is_deeply([ faults($rule->{expr}, @named) ], [], "$rule->{alert} asks for what there is");
}
command_ok([ 'promtool', 'test', 'rules', 'test/monitoring/alerts_test.yml' ], 'the alerts are raised when they should be');
my %tried = map { $_->{exp_alerts} ? ($_->{alertname} => 1) : () }
	map { @{ $_->{alert_rule_test} } } @{ Load(slurp_file('test/monitoring/alerts_test.yml'))->{tests} };
is_deeply([ sort keys %tried ], \@alerts, '... each of them');

my $dashboard = decode_json($text{'grafana-dashboard.json'});
my @panels = grep { $_->{targets} } @{ $dashboard->{panels} };
my @targets = map { @{ $_->{targets} } } @panels;
my @expressions = map { $_->{expr} } @targets;
foreach my $panel (@panels)
{
	is_deeply([ map { faults($_->{expr}) } @{ $panel->{targets} } ], [], "the panel '$panel->{title}' asks for what there is");
	foreach my $target (@{ $panel->{targets} })
	{
		is_deeply([ $target->{legendFormat} =~ /\{\{(\w+)\}\}/g ], [ grouped_by($target->{expr}) ],
			"... and tells apart what it shows as '$target->{legendFormat}'");
	}
}
my %shown = map { $_ => 1 } "@expressions" =~ /\bidempotency_\w+/g;
is_deeply([ sort keys %shown ], [ sort keys %$metrics ], 'the dashboard shows every metric');
my ($source, @choices) = @{ $dashboard->{templating}{list} };
is("$source->{name} $source->{query}", 'DS_PROMETHEUS prometheus', 'its data source is chosen when it is looked at');
is_deeply([ grep { $_->{datasource}{uid} ne '${DS_PROMETHEUS}' } @panels, @targets, @choices ], [], '... for all that is in it');
foreach my $choice (@choices)
{
	my ($metric, $label) = $choice->{query}{query} =~ /^label_values\((\w+), (\w+)\)$/;
	is($label, $choice->{name}, "the choice of $choice->{name} is one of labels");
	is_deeply([ grep { $_ eq $label } 'instance', @{ $metrics->{$metric}{labels} } ], [ $label ], '... that there are');
	is_deeply([ grep { !/\b$label=~"\$$label"/ } @expressions ], [], '... and is applied to all');
}
my ($list) = map { $_->{options}{content} } grep { $_->{type} eq 'text' } @{ $dashboard->{panels} };
is_deeply([ sort $list =~ /`(Idempotency\w+)`/g ], \@alerts, 'it names every alert');

# promtool reads expressions in rules only
my $rules = $node->basedir . '/expressions.yml';
my @recorded = map { { record => "expression:$_", expr => $expressions[$_] =~ s/\$__rate_interval/5m/gr } } 0 .. $#expressions;
append_to_file($rules, Dump({ groups => [ { name => 'dashboard', rules => \@recorded } ] }));
command_ok([ 'promtool', 'check', 'rules', $rules ], 'Prometheus understands its expressions');

done_testing();
