SELECT count(*) FROM webhook_inbox_fetch();
