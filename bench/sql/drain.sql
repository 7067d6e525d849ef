SELECT count(webhook_inbox_complete(tenant_id, source, event_id, token)) FROM webhook_inbox_fetch(50);
