-- A database that is not in UTF-8.
\set utf8 :DBNAME
CREATE DATABASE regress_latin1 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0;
CREATE TABLE digests AS SELECT
	idempotency_request_hash('{"é": "ü", "aa": ["ÿ"], "b": 1}') AS hash,
	idempotency_derive_key('6ba7b810-9dad-11d1-80b4-00c04fd430c8', 'größe') AS derived;
SELECT hash AS utf8_hash, derived AS utf8_key FROM digests \gset
DROP TABLE digests;
\c regress_latin1
SET client_encoding = 'UTF8';
CREATE EXTENSION idempotency;
-- A request has the same hash as in UTF-8, so a dump may change encodings:
-- "é" is one byte here and two there, which orders the keys differently.
SELECT idempotency_request_hash('{"é": "ü", "aa": ["ÿ"], "b": 1}') = :'utf8_hash' AS same_hash,
	idempotency_derive_key('6ba7b810-9dad-11d1-80b4-00c04fd430c8', 'größe') = :'utf8_key' AS same_key;
SELECT outcome, token AS t FROM idempotency_claim('mandant-ä', repeat('ÿ', 255), '{"straße": "ü"}') \gset
SELECT idempotency_complete('mandant-ä', repeat('ÿ', 255), :t, 200, 'größe');
SELECT outcome, response_body FROM idempotency_claim('mandant-ä', repeat('ÿ', 255), '{"straße": "ü"}');
SELECT outcome FROM idempotency_claim('mandant-ä', repeat('ÿ', 255), '{"strasse": "ü"}');
\c :utf8
DROP DATABASE regress_latin1;
