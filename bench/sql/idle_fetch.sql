SELECT 1 / (count(*) = 0)::int FROM webhook_inbox_fetch();
