# One call after another, of each kind, in a function that keeps their plans, and
# what they answer.
package AllCalls;
use strict;
use warnings;
use Exporter 'import';

our @EXPORT_OK = qw(create_all_calls $all_answers);

our $all_answers =
  'claimed in_progress released resumed(charged) completed replay(done) completed mismatch'
  . ' executed replay({"n": 1}) forgotten recorded duplicate fetched(1) pending fetched(2) processed requeued fetched(1)'
  . ' recorded recorded duplicate fetched(late f) fetched(late f) abandoned(resumed)';

# The function's argument is a name that is new each time.
sub create_all_calls
{
	my ($node) = @_;
	$node->safe_psql('postgres', q{
	CREATE FUNCTION answer(request jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT request';
	CREATE FUNCTION all_calls(name text) RETURNS text LANGUAGE plpgsql AS $$
	DECLARE
		answers text[];
		c record;
		e record;
	BEGIN
		SELECT * INTO c FROM idempotency_claim('acme', name, '{"n": 1}');
		answers := answers || c.outcome;
		answers := answers || (SELECT outcome FROM idempotency_claim('acme', name, '{"n": 1}'));
		PERFORM idempotency_checkpoint('acme', name, c.token, 'charged');
		PERFORM idempotency_heartbeat('acme', name, c.token);
		PERFORM idempotency_release('acme', name, c.token);
		answers := answers || (SELECT state FROM idempotency_lookup('acme', name));
		SELECT * INTO c FROM idempotency_claim('acme', name, '{"n": 1}');
		answers := answers || format('%s(%s)', c.outcome, c.recovery_point);
		answers := answers || idempotency_complete('acme', name, c.token, 200, 'done');
		SELECT * INTO c FROM idempotency_claim('acme', name, '{"n": 1}');
		answers := answers || format('%s(%s)', c.outcome, c.response_body);
		answers := answers || (SELECT state FROM idempotency_lookup('acme', name));
		answers := answers || (SELECT outcome FROM idempotency_claim('acme', name, '{"n": 2}'));
		answers := answers || (SELECT outcome FROM idempotency_execute('acme', name, '{"n": 1}', 'answer(jsonb)', 'execute'));
		SELECT * INTO c FROM idempotency_execute('acme', name, '{"n": 1}', 'answer(jsonb)', 'execute');
		answers := answers || format('%s(%s)', c.outcome, c.response_body);
		answers := answers || CASE WHEN idempotency_forget('acme', name) THEN 'forgotten' END;

		answers := answers || (SELECT outcome FROM webhook_inbox_record('acme', name, '1'));
		answers := answers || (SELECT outcome FROM webhook_inbox_record('acme', name, '1'));
		SELECT * INTO e FROM webhook_inbox_fetch(1, name);
		answers := answers || format('fetched(%s)', e.attempt);
		answers := answers || webhook_inbox_fail('acme', name, '1', e.token, 'no', '0');
		SELECT * INTO e FROM webhook_inbox_fetch(1, name, 'acme');
		answers := answers || format('fetched(%s)', e.attempt);
		PERFORM webhook_inbox_complete('acme', name, '1', e.token);
		answers := answers || (SELECT state FROM webhook_inbox WHERE source = name);
		answers := answers || CASE WHEN webhook_inbox_requeue('acme', name, '1') THEN 'requeued' END;
		SELECT * INTO e FROM webhook_inbox_fetch(1, name);
		answers := answers || format('fetched(%s)', e.attempt);
		FOR e IN SELECT * FROM webhook_inbox_record_batch('acme', name,
			'[{"event_id": "2", "stream": "s", "sequence": 1}, {"event_id": "3", "stream": "s", "sequence": 2}, {"event_id": "1"}]')
		LOOP
			answers := answers || e.outcome;
		END LOOP;
		FOR i IN 1 .. 2 LOOP
			SELECT * INTO e FROM webhook_inbox_fetch(10, name);
			answers := answers || format('fetched(late %s)', e.late);
			PERFORM webhook_inbox_complete('acme', name, e.event_id, e.token);
		END LOOP;

		PERFORM idempotency_claim('acme', name, '{"n": 1}', 'abandoned', keep_request => true, lease => '0');
		FOR c IN SELECT * FROM idempotency_claim_abandoned(10, 'acme', 'abandoned') LOOP
			answers := answers || format('abandoned(%s)', CASE WHEN c.key = name AND c.attempt = 2 THEN 'resumed' END);
		END LOOP;
		PERFORM idempotency_sweep(10);
		RETURN array_to_string(answers, ' ');
	END $$});
}

1;
