-- Every error of the inbox's arguments, by its SQLSTATE, from every function
-- that can raise it.  Those of a batch's elements are in batch.sql, those of
-- tokens in finish.sql, those of a handler in process.sql, and 42501 is in
-- privileges.sql and tenant.sql.
CREATE FUNCTION ignore(event webhook_event) RETURNS void LANGUAGE sql AS '';
\set VERBOSITY sqlstate

-- IK003: a tenant, source, event id or stream that is none.
SELECT webhook_inbox_record(NULL, 's', 'e');
SELECT webhook_inbox_record('', 's', 'e');
SELECT webhook_inbox_record(repeat('t', 256), 's', 'e');
SELECT webhook_inbox_record(E't\n', 's', 'e');
SELECT webhook_inbox_record('t', NULL, 'e');
SELECT webhook_inbox_record('t', '', 'e');
SELECT webhook_inbox_record('t', repeat('é', 128), 'e');
SELECT webhook_inbox_record('t', E's\x7f', 'e');
SELECT webhook_inbox_record('t', 's', NULL);
SELECT webhook_inbox_record('t', 's', '');
SELECT webhook_inbox_record('t', 's', repeat('e', 256));
SELECT webhook_inbox_record('t', 's', U&'e\0085');
SELECT webhook_inbox_record('t', 's', 'e', stream => '');
SELECT webhook_inbox_record('t', 's', 'e', stream => repeat('x', 256));
SELECT webhook_inbox_record('t', 's', 'e', stream => E'\t');
SELECT webhook_inbox_record_batch('', 's', '[]');
SELECT webhook_inbox_record_batch('t', NULL, '[]');
SELECT webhook_inbox_fetch(1, '');
SELECT webhook_inbox_fetch(1, tenant_id => '');
SELECT webhook_inbox_complete(NULL, 's', 'e', 1);
SELECT webhook_inbox_complete('t', '', 'e', 1);
SELECT webhook_inbox_complete('t', 's', NULL, 1);
SELECT webhook_inbox_fail('', 's', 'e', 1, 'x');
SELECT webhook_inbox_fail('t', NULL, 'e', 1, 'x');
SELECT webhook_inbox_fail('t', 's', '', 1, 'x');
SELECT webhook_inbox_requeue('t', 's', NULL);
SELECT webhook_inbox_requeue('t', NULL, 'e');
SELECT webhook_inbox_requeue(NULL, 's', 'e');
SELECT webhook_inbox_requeue_dead('', 's');
SELECT webhook_inbox_requeue_dead('t', '');
CALL webhook_inbox_process('ignore(webhook_event)', '');
CALL webhook_inbox_process('ignore(webhook_event)', tenant_id => '');

-- 22023: another bad argument.
SELECT webhook_inbox_record('t', 's', 'e', ttl => '-1 s');
SELECT webhook_inbox_record('t', 's', 'e', ttl => '300000 years');
-- ... also if the time can be stored today, but not when the event is finished
SELECT webhook_inbox_record('t', 's', 'e', ttl => timestamptz '294276-12-31' - now());
SELECT webhook_inbox_record_batch('t', 's', jsonb_build_array(jsonb_build_object('event_id', 'e', 'ttl', timestamptz '294276-12-31' - now())));
SELECT webhook_inbox_record_batch('t', 's', NULL);
SELECT webhook_inbox_fetch(0);
SELECT webhook_inbox_fetch(-1);
SELECT webhook_inbox_fetch(NULL);
SELECT webhook_inbox_fetch(lease => '-1 s');
SELECT webhook_inbox_fetch(lease => '300000 years');
SELECT webhook_inbox_complete('t', 's', 'e', NULL);
SELECT webhook_inbox_fail('t', 's', 'e', NULL, 'x');
SELECT webhook_inbox_fail('t', 's', 'e', 1, 'x', '-1 s');
SELECT webhook_inbox_fail('t', 's', 'e', 1, 'x', '300000 years');
SELECT webhook_inbox_requeue_dead(max_rows => 0);
CALL webhook_inbox_process('ignore(webhook_event)', max_events => -1);

-- IK005: no such event.
SELECT webhook_inbox_complete('t', 's', 'e', 1);
SELECT webhook_inbox_fail('t', 's', 'e', 1, 'x');

-- 25006: nothing may be written.
BEGIN READ ONLY;
SAVEPOINT s;
SELECT webhook_inbox_record('t', 's', 'e');
ROLLBACK TO s;
SELECT webhook_inbox_record_batch('t', 's', '[]');
ROLLBACK TO s;
SELECT webhook_inbox_fetch();
ROLLBACK TO s;
SELECT webhook_inbox_complete('t', 's', 'e', 1);
ROLLBACK TO s;
SELECT webhook_inbox_fail('t', 's', 'e', 1, 'x');
ROLLBACK TO s;
SELECT webhook_inbox_requeue('t', 's', 'e');
ROLLBACK TO s;
SELECT webhook_inbox_requeue_dead();
ROLLBACK TO s;
CALL webhook_inbox_process('ignore(webhook_event)');
ROLLBACK;

-- How they read.
\set VERBOSITY default
SELECT webhook_inbox_record('t', 's', '');
SELECT webhook_inbox_record('t', 's', 'e', stream => repeat('x', 256));
SELECT webhook_inbox_fetch(0);
SELECT webhook_inbox_fail('t', 's', 'e', 1, 'x', '-1 s');

DROP FUNCTION ignore;
