-- Property tests over generated documents.
-- A generator: the seed decides, so a failure can be repeated.
SELECT setseed(0.42);
CREATE FUNCTION pick(VARIADIC choices text[]) RETURNS text LANGUAGE sql VOLATILE AS $$
	SELECT choices[1 + floor(random() * cardinality(choices))::int] $$;
CREATE FUNCTION document(depth int) RETURNS jsonb LANGUAGE plpgsql VOLATILE AS $$
DECLARE
	kind int := floor(random() * CASE WHEN depth > 0 THEN 7 ELSE 5 END);
	result jsonb;
BEGIN
	CASE kind
	WHEN 0 THEN RETURN pick('null', 'true', 'false')::jsonb;
	WHEN 1 THEN RETURN to_jsonb(floor(random() * 4)::int);
	WHEN 2 THEN RETURN to_jsonb(round((random() * 1e6)::numeric, floor(random() * 8)::int) * pick('1', '1e20', '-1e-9')::numeric);
	WHEN 3 THEN RETURN to_jsonb(pick('', 'a', 'b', 'ab', 'é', '1', 'null', '[]', '"', ':', ',', '𝕜'));
	WHEN 4 THEN RETURN to_jsonb(repeat(pick('a', 'b'), floor(random() * 5)::int));
	WHEN 5 THEN
		result := '[]';
		FOR i IN 1..floor(random() * 4) LOOP
			result := result || jsonb_build_array(document(depth - 1));
		END LOOP;
		RETURN result;
	ELSE
		result := '{}';
		FOR i IN 1..floor(random() * 4) LOOP
			result := result || jsonb_build_object(pick('', 'a', 'b', 'ab', 'ba', 'é', 'aaa'), document(depth - 1));
		END LOOP;
		RETURN result;
	END CASE;
END $$;
-- Writes a document differently: white space, order, spelling of numbers.
CREATE FUNCTION respell(d jsonb) RETURNS text LANGUAGE plpgsql VOLATILE AS $$
BEGIN
	CASE jsonb_typeof(d)
	WHEN 'object' THEN
		RETURN (SELECT pick('{', '{ ', E'{\n') || coalesce(string_agg(to_jsonb(key)::text || pick(':', ' : ') || respell(value), pick(',', ' ,') ORDER BY random()), '') || pick('}', ' }') FROM jsonb_each(d));
	WHEN 'array' THEN
		RETURN (SELECT pick('[', '[ ') || coalesce(string_agg(respell(value), ', ' ORDER BY n), '') || ']' FROM jsonb_array_elements(d) WITH ORDINALITY AS e (value, n));
	WHEN 'number' THEN
		RETURN pick(d::text, d::text || 'e0', CASE WHEN d::text ~ '\.' THEN d::text || '00' ELSE d::text || '.0' END, (d::text::numeric * 1000)::text || 'e-3');
	ELSE
		RETURN d::text;
	END CASE;
END $$;

CREATE TEMP TABLE documents AS
SELECT n, document(4) AS d FROM generate_series(1, 40000) AS n;

-- Equal values hash alike, however they are spelt ...
SELECT count(*) AS unequal FROM documents
WHERE idempotency_request_hash(d) <> idempotency_request_hash(respell(d)::jsonb);
-- ... and different values never.
SELECT count(DISTINCT d) - count(DISTINCT idempotency_request_hash(d)) AS collisions,
	count(DISTINCT d) > 5000 AS many FROM documents;

-- A request is compared as it is hashed.
SELECT count(*) FILTER (WHERE outcome = 'claimed') = count(*) AS all_claimed
FROM (SELECT * FROM documents WHERE n <= 500) AS d, LATERAL idempotency_claim('acme', n::text, d.d) AS c;
SELECT outcome, count(*) FROM (SELECT * FROM documents WHERE n <= 500) AS d,
LATERAL idempotency_claim('acme', n::text, respell(d.d)::jsonb) AS c GROUP BY 1;
SELECT outcome, count(*) FROM (SELECT * FROM documents WHERE n <= 500) AS d,
LATERAL idempotency_claim('acme', n::text, jsonb_build_array(d.d)) AS c GROUP BY 1;

-- Fuzzed nesting: brackets thrown together until they are a document.
CREATE TEMP TABLE nested AS
WITH RECURSIVE grown (n, d) AS (
	SELECT n, '[]'::jsonb FROM generate_series(1, 200) AS n
	UNION ALL
	SELECT n, (ARRAY[jsonb_build_array(d), jsonb_build_array(d, d), jsonb_build_object('a', d), d || '[[]]'::jsonb])[1 + floor(random() * 4)::int]
	FROM grown WHERE length(d::text) < 120 AND random() < 0.95)
SELECT DISTINCT d FROM grown;
SELECT count(*) > 300 AS many, count(*) - count(DISTINCT idempotency_request_hash(d)) AS collisions FROM nested;

DROP FUNCTION document, respell, pick;
TRUNCATE idempotency_keys;
