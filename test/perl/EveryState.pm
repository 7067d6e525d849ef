# Keys and events in every state there is, for tests that move them to another
# server, and what has to hold there.
package EveryState;

use strict;
use warnings;
use Exporter 'import';
use Test::More;

our @EXPORT = qw(make_every_state digest answers goes_on);

# Makes the rows.  The bodies have all that a dump or a protocol may trip over.
sub make_every_state
{
	my ($node, $db) = @_;
	$node->safe_psql($db, q{
		SELECT idempotency_claim('acme', 'held', '{"n": 1}', lease => '1 h');
		SELECT idempotency_claim('acme', 'lapsed', '{"n": 1}', lease => '0');
		SELECT idempotency_claim('acme', 'without request', lease => '0');
		SELECT idempotency_claim('acme', 'expired', '{"n": 1}', ttl => '0');

		-- an update that leaves a large value where it is
		SELECT idempotency_claim('acme', 'abandoned', jsonb_build_object('n', 1, 'large', string_agg(md5(i::text), '')),
			keep_request => true) FROM generate_series(1, 1000) AS i;
		SELECT idempotency_checkpoint('acme', 'abandoned', token, 'charged', '{"id": "ch_1"}', lease => '0')
		FROM idempotency_keys WHERE key = 'abandoned';

		SELECT idempotency_claim('acme', 'released', '{"n": 1}', scope => 'pay');
		SELECT idempotency_checkpoint('acme', 'released', token, 'charged', '{"id": "ch_2"}', 'pay'),
			idempotency_release('acme', 'released', token, 'pay')
		FROM idempotency_keys WHERE key = 'released';
		SELECT idempotency_complete('acme', 'retryable', token, 503, 'later')
		FROM idempotency_claim('acme', 'retryable', '{"n": 1}');

		SELECT idempotency_complete('acme', 'text', token, 201,
			E' caf\u00e9\t"x" ''y'' \\\\N \\\\\n\\\\.\n\r\n\u2028 ', '{"Location": "/orders/\u00e9", "X": "\\\\\""}')
		FROM idempotency_claim('acme', 'text', '{"n": 1}');
		SELECT idempotency_complete('acme', 'large', token, 200, string_agg(md5(i::text), ''))
		FROM idempotency_claim('acme', 'large', '{"n": 1}'), generate_series(1, 3000) AS i GROUP BY token;
		SELECT idempotency_complete('acme', 'json', token, 200, '{"b": 1.50, "a": [null, "\u00e9"]}'::jsonb)
		FROM idempotency_claim('acme', 'json', '{"n": 1}');
		SELECT idempotency_complete('acme', 'bytes', token, 200,
			decode(string_agg(lpad(to_hex(i), 2, '0'), '' ORDER BY i), 'hex'), '{"Content-Type": "image/png"}')
		FROM idempotency_claim('acme', 'bytes', '{"n": 1}'), generate_series(0, 255) AS i GROUP BY token;
		SELECT idempotency_complete('acme', 'no bytes', token, 200, ''::bytea)
		FROM idempotency_claim('acme', 'no bytes', '{"n": 1}');
		SELECT idempotency_complete('acme', 'empty', token, 200, '') FROM idempotency_claim('acme', 'empty', '{"n": 1}');
		SELECT idempotency_complete('acme', 'none', token, 204) FROM idempotency_claim('acme', 'none', '{"n": 1}');
		SELECT idempotency_complete('acme', 'refused', token, 422, 'no') FROM idempotency_claim('acme', 'refused', '{"n": 1}');
		SELECT idempotency_complete('globex', 'text', token, 200, 'another tenant''s')
		FROM idempotency_claim('globex', 'text', '{"n": 1}');

		-- in no stream
		SELECT webhook_inbox_record('acme', 'none', 'processed');
		SELECT webhook_inbox_complete(tenant_id, source, event_id, token) FROM webhook_inbox_fetch(source => 'none');
		SELECT webhook_inbox_record('acme', 'none', 'at once', processed => true);
		SELECT webhook_inbox_record('acme', 'none', 'dead');
		SET idempotency.webhook_max_attempts = 1;
		SELECT webhook_inbox_fail(tenant_id, source, event_id, token, E'no\tsuch\n\\\\order') FROM webhook_inbox_fetch(source => 'none');
		RESET idempotency.webhook_max_attempts;
		SELECT webhook_inbox_record('acme', 'none', 'failed');
		SELECT webhook_inbox_fail(tenant_id, source, event_id, token, NULL, retry_in => '1 h') FROM webhook_inbox_fetch(source => 'none');
		SELECT webhook_inbox_record('acme', 'none', 'processing', jsonb_build_object('large', string_agg(md5(i::text), '')))
		FROM generate_series(1, 1000) AS i;
		SELECT webhook_inbox_fetch(source => 'none', lease => '1 h');
		SELECT webhook_inbox_record('acme', 'none', 'lapsed');
		SELECT webhook_inbox_fetch(source => 'none', lease => '0');
		SELECT webhook_inbox_record('acme', 'none', 'pending', '{"caf\u00e9": null}', 'created', '{"X": "y"}', ttl => '1 month 2 days');

		-- in streams: the second is in flight, and those behind it are parked
		SELECT webhook_inbox_record_batch('acme', 'in flight', '[
			{"event_id": "unnumbered", "stream": "s"}, {"event_id": "3", "stream": "s", "sequence": 3},
			{"event_id": "2", "stream": "s", "sequence": 2}, {"event_id": "1", "stream": "s", "sequence": 1}]');
		SELECT webhook_inbox_complete(tenant_id, source, event_id, token) FROM webhook_inbox_fetch(source => 'in flight');
		SELECT webhook_inbox_fetch(source => 'in flight', lease => '1 h');
		-- ... the first failed
		SELECT webhook_inbox_record_batch('acme', 'failed', '[{"event_id": "1", "stream": "s"}, {"event_id": "2", "stream": "s"}]');
		SELECT webhook_inbox_fail(tenant_id, source, event_id, token, 'oops', retry_in => '1 h') FROM webhook_inbox_fetch(source => 'failed');
		-- ... the first is dead, and still has the turn
		SELECT webhook_inbox_record_batch('acme', 'dead', '[{"event_id": "1", "stream": "s"}, {"event_id": "2", "stream": "s"}]');
		SET idempotency.webhook_max_attempts = 1;
		SELECT webhook_inbox_fail(tenant_id, source, event_id, token, 'oops') FROM webhook_inbox_fetch(source => 'dead');
		RESET idempotency.webhook_max_attempts;
		-- ... the first came late
		SELECT webhook_inbox_record('acme', 'late', '2', stream => 's', sequence => 2);
		SELECT webhook_inbox_complete(tenant_id, source, event_id, token) FROM webhook_inbox_fetch(source => 'late');
		SELECT webhook_inbox_record('acme', 'late', '1', stream => 's', sequence => 1);

		-- all by a clock that is ahead of those where the rows go
		UPDATE idempotency_keys SET token = token + 3600000000;
		UPDATE webhook_inbox SET token = token + 3600000000 WHERE token > 0;
	});
}

# A digest of both tables, with all their rows and columns.
sub digest
{
	my ($node, $db) = @_;
	return join ' ', map {
		$node->safe_psql($db, qq{
			SELECT count(*), encode(sha256(convert_to(string_agg(t::text, E'\\n' ORDER BY t::text COLLATE "C"), 'UTF8')), 'hex')
			FROM $_ AS t})
	} qw(idempotency_keys webhook_inbox);
}

# What every completed key answers.
sub answers
{
	my ($node, $db) = @_;
	return $node->safe_psql($db, q{
		\pset null (null)
		SELECT k.tenant_id, k.key, c.outcome, c.response_status, c.response_headers, c.response_body, c.response_bytes
		FROM idempotency_keys AS k, idempotency_claim(tenant_id, key, '{"n": 1.0}', scope) AS c
		WHERE completed_at IS NOT NULL ORDER BY 1, 2});
}

# Checks that the copy of the rows goes on from where they were.
sub goes_on
{
	my ($node, $db) = @_;
	$node->safe_psql($db, q{
		CREATE TABLE keys_before AS TABLE idempotency_keys;
		CREATE TABLE events_before AS TABLE webhook_inbox;
		CREATE TABLE effects (id int GENERATED ALWAYS AS IDENTITY, source text, effect text);
		CREATE FUNCTION handle(e webhook_event) RETURNS void
		LANGUAGE sql AS $$
			INSERT INTO effects (source, effect)
			VALUES (e.source, e.event_id || ' (attempt ' || e.attempt || CASE WHEN e.late THEN ', late)' ELSE ')' END)
		$$;});

	is( $node->safe_psql($db, q{
			SELECT outcome FROM idempotency_claim('acme', 'held', '{"n": 1}')
			UNION ALL SELECT outcome FROM idempotency_claim('acme', 'held', '{"n": 2}')
			UNION ALL SELECT outcome FROM idempotency_claim('acme', 'text', '{"n": 2}')}),
		"in_progress\nmismatch\nmismatch", '... a lease protects its holder, and a request its key');
	is( $node->safe_psql($db, q{
			SELECT idempotency_complete('acme', 'held', token, 200, 'done') FROM keys_before WHERE key = 'held'}),
		'completed', '... who completes');
	is( $node->safe_psql($db, q{
			SELECT b.key, a.attempt, a.request = b.request, a.recovery_point, a.recovery_data, a.token > b.token
			FROM idempotency_claim_abandoned() AS a JOIN keys_before AS b USING (tenant_id, scope, key)}),
		'abandoned|2|t|charged|{"id": "ch_1"}|t', '... what was abandoned is found, with its request');
	is( $node->safe_psql($db, q{
			SELECT key, c.outcome, c.attempt, c.recovery_point, c.recovery_data, c.token > b.token
			FROM keys_before AS b, idempotency_claim(tenant_id, key, '{"n": 1}', scope) AS c
			WHERE key IN ('lapsed', 'without request', 'released', 'retryable', 'expired') ORDER BY key}),
		join("\n",
			'expired|claimed|1|||t',
			'lapsed|resumed|2|||t',
			'released|resumed|2|charged|{"id": "ch_2"}|t',
			'retryable|resumed|2|||t',
			'without request|resumed|2|||t'),
		'... the unfinished is resumed, with greater tokens');
	my ($result, $out, $err) = $node->psql($db, q{
		\set VERBOSITY sqlstate
		SELECT idempotency_complete('acme', 'lapsed', token) FROM keys_before WHERE key = 'lapsed'});
	like($err, qr/IK004/, '... and an outdated one is refused');

	is( $node->safe_psql($db, q{
			SELECT DISTINCT outcome, payload_changed, r.state = i.state FROM webhook_inbox AS i,
				webhook_inbox_record(tenant_id, source, event_id, payload, stream => stream, sequence => sequence) AS r}),
		'duplicate|f|t', '... no event is recorded twice');
	is( $node->safe_psql($db, q{
			SELECT count(webhook_inbox_complete(tenant_id, source, event_id, token)) FROM webhook_inbox
			WHERE state = 'processing' AND source = 'in flight'}),
		'1', '... a worker completes what it had fetched');
	$node->safe_psql($db, q{CALL webhook_inbox_process('handle(webhook_event)')});
	# in a stream they have an order
	my $effects = q{
		SELECT source, string_agg(effect, ', ' ORDER BY CASE WHEN source <> 'none' THEN id END, effect)
		FROM effects GROUP BY source ORDER BY source};
	is( $node->safe_psql($db, $effects),
		join("\n",
			'dead|2 (attempt 1)',
			'in flight|3 (attempt 1), unnumbered (attempt 1)',
			'late|1 (attempt 1, late)',
			'none|lapsed (attempt 2), pending (attempt 1)'),
		'... the streams go on, in order');
	$node->safe_psql($db, q{
		TRUNCATE effects;
		SET idempotency.clock_offset = '2 h';
		SELECT webhook_inbox_requeue_dead();
		CALL webhook_inbox_process('handle(webhook_event)');});
	is( $node->safe_psql($db, $effects),
		join("\n",
			'dead|1 (attempt 1)',
			'failed|1 (attempt 2), 2 (attempt 1)',
			'none|dead (attempt 1), failed (attempt 2), processing (attempt 2)'),
		'... what failed is retried, and what was dead can be requeued');
	is( $node->safe_psql($db, q{
			SELECT DISTINCT a.token > b.token FROM webhook_inbox AS a JOIN events_before AS b USING (tenant_id, source, event_id)
			WHERE a.finished_at IS DISTINCT FROM b.finished_at AND (source, event_id) <> ('in flight', '2')}),
		't', '... with greater tokens');
	is($node->safe_psql($db, 'SELECT DISTINCT state FROM webhook_inbox'), 'processed', '... and nothing is left');
}

1;
