-- The fingerprint of a request is over its value.
-- Pinned: what is stored today must compare equal for as long as keys live.
SELECT document, idempotency_request_hash(document) FROM (VALUES
	('null'::jsonb), ('true'), ('false'), ('0'), ('1'), ('-1'), ('10000'),
	('0.0001'), ('1e100'), ('3.14159265358979323846264338327950288'),
	('""'), ('"a"'), ('"é"'), ('"\ud83c\udf9f"'), ('[]'), ('{}'), ('[[]]'),
	('[1, 2]'), ('{"a": 1}'), ('{"a": {"b": [1, "2", null, true]}, "bb": {}}')
) AS pinned (document);

-- The same values, spelt differently.
SELECT bool_and(idempotency_request_hash(a::jsonb) = idempotency_request_hash(b::jsonb)) AS all_equal
FROM (VALUES
	('1', '1.0'), ('1', '1e0'), ('1', '10e-1'), ('100', '1E2'), ('0', '-0'),
	('0', '0.000'), ('0', '0e10'), ('0.1', '1e-1'), ('10000', '1e4'),
	('123450000', '1.2345e8'), ('0.00012345', '12345e-8'),
	('{"a": 1, "b": 2}', '{"b":2,"a":1}'), ('{"a": 0, "a": 1}', '{"a": 1}'),
	('[1,2]', '[ 1 , 2 ]'), ('"\u0041"', '"A"'), ('"/"', '"\/"')
) AS pairs (a, b);

-- Different values, all of them told apart.
SELECT count(*) AS documents, count(DISTINCT idempotency_request_hash(d::jsonb)) AS digests
FROM (VALUES
	('null'), ('"null"'), ('true'), ('"true"'), ('false'), ('0'), ('"0"'), ('1'), ('"1"'),
	('-1'), ('1e4'), ('1e8'), ('1e-4'), ('1e-8'), ('10001'), ('1.0001'), ('100000001'),
	('""'), ('" "'), ('[]'), ('{}'), ('[[]]'), ('[{}]'), ('[null]'), ('[0]'), ('[1]'),
	('[[1]]'), ('[1, 2]'), ('[2, 1]'), ('[[1], 2]'), ('[1, [2]]'), ('[[1, 2]]'), ('[12]'),
	('["1", "2"]'), ('["12"]'), ('["1,2"]'), ('["", "12"]'), ('["1", "", "2"]'),
	('{"a": 1}'), ('{"a": "1"}'), ('{"a": null}'), ('{"a": [1]}'), ('{"a": {}}'), ('{"b": 1}'),
	('{"a": 1, "b": 2}'), ('{"a": 2, "b": 1}'), ('{"ab": 1}'), ('{"a": {"b": 1}}'),
	('{"a": "b"}'), ('["a", "b"]'), ('[["a", "b"]]'), ('[{"a": "b"}]'), ('{"a": "b", "c": "d"}'),
	('["a", "b", "c", "d"]'), ('{"a": {"b": "c"}, "d": 1}'), ('{"a": {"b": "c", "d": 1}}'),
	('"{\"a\": 1}"'), ('"[]"'), ('{"": ""}'), ('{"": null}')
) AS documents (d);

-- STRICT, and safe to be used in an index or in parallel.
SELECT idempotency_request_hash(NULL) IS NULL AS strict;
SELECT provolatile, proparallel, proisstrict FROM pg_proc WHERE proname = 'idempotency_request_hash';

-- Short for the long: the exponent is not written out.
SELECT octet_length(idempotency_request_hash(jsonb_agg('1e100000'::jsonb))) FROM generate_series(1, 1000);

-- Deep nesting is refused where the stack ends, and then only.
SELECT octet_length(idempotency_request_hash((repeat('[', 1000) || repeat(']', 1000))::jsonb));
SELECT count(DISTINCT idempotency_request_hash((repeat('[', n) || repeat(']', n))::jsonb))
FROM generate_series(1, 200) AS n;
