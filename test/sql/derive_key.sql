-- Keys that follow from what a request is about: version-5 UUIDs.
\set dns '6ba7b810-9dad-11d1-80b4-00c04fd430c8'
-- The values that RFC 9562 and any other library give.
SELECT idempotency_derive_key(:'dns', 'www.example.com') = '2ed6657d-e927-568b-95e1-2665a8aea6a2' AS rfc;
SELECT idempotency_derive_key(:'dns', 'python.org') = '886313e1-3b8a-5372-9b90-0c9aee199e5d' AS python;
-- Parts are joined by colons: what uuidv5('order:42:refund', ns) gives.
SELECT idempotency_derive_key(:'dns', 'order', '42', 'refund') AS key;
-- Parts that hold a separator are another key than parts apart.
SELECT count(*) AS parts, count(DISTINCT idempotency_derive_key(:'dns', VARIADIC p::text[])) AS keys
FROM (VALUES ('{a,b}'), ('{"a:b"}'), ('{a:,b}'), ('{a,:b}'), ('{"a\\","b"}'), ('{"a\\:b"}'), ('{"a\\\\","b"}'),
	('{""}'), ('{"",""}'), ('{":"}'), ('{"\\"}'), ('{"\\",""}'), ('{"\\:"}'), ('{a}'), ('{a,""}'), ('{"",a}')) AS v (p);
-- Version 5, variant of the RFC.
SELECT substr(k::text, 15, 1) AS version, substr(k::text, 20, 1) IN ('8', '9', 'a', 'b') AS variant
FROM idempotency_derive_key(:'dns', 'x') AS k;
-- Non-ASCII goes in as UTF-8, and namespaces keep apart.
SELECT idempotency_derive_key(:'dns', 'größe') AS key;
SELECT idempotency_derive_key(:'dns', 'a') = idempotency_derive_key('6ba7b811-9dad-11d1-80b4-00c04fd430c8', 'a') AS same;
SELECT provolatile, proparallel FROM pg_proc WHERE proname = 'idempotency_derive_key';
