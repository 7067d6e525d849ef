SELECT idempotency_sweep(1000);
