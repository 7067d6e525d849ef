-- Writes the SQL that makes a database the PL/Proxy proxy of databases that have the
-- extension.  Run it in one of these:
--
--     psql -XAtq -f generate.sql SHARD | psql -X -v ON_ERROR_STOP=1 -1 PROXY
--
-- Names, arguments, defaults, results and comments are the catalog's.  A function whose
-- first argument is a tenant runs where the tenant is; what the others do is in the rules
-- below.  What has neither makes the output fail.
--
-- -v cluster=NAME is the foreign server that knows the shards, idempotency by default.
-- -v functions='{pay(text,int)}' writes these functions, of your own, instead: each on the
-- shard of its first argument, tenant_id.

\if :{?cluster}
\else
	\set cluster idempotency
\endif
\if :{?functions}
\else
	\set functions {}
\endif

SELECT :'functions'::regprocedure[]::oid[] AS functions \gset

SET search_path = pg_catalog, pg_temp;	-- so that the types of others come with their schema

-- Helpers of what spans tenants.
SELECT format($$
CREATE SCHEMA IF NOT EXISTS %1$s;

CREATE FUNCTION %1$s.idempotency_shards() RETURNS TABLE (partition int4, server text)
LANGUAGE sql STABLE AS $_$
	SELECT pg_catalog.substr(o.option_name, 2)::pg_catalog.int4, o.option_value
	FROM pg_catalog.pg_foreign_server AS s, pg_catalog.pg_options_to_table(s.srvoptions) AS o
	WHERE s.srvname OPERATOR(pg_catalog.=) %2$L AND o.option_name OPERATOR(pg_catalog.~) '^p[0-9]+$'
$_$;
COMMENT ON FUNCTION %1$s.idempotency_shards IS 'The partitions, and how the proxy connects to the shard that has each.';

CREATE FUNCTION %1$s.idempotency_shard(tenant_id text) RETURNS text
LANGUAGE sql STABLE AS $_$
	SELECT server FROM %1$s.idempotency_shards() WHERE partition OPERATOR(pg_catalog.=)
		(pg_catalog.hashtext(tenant_id) OPERATOR(pg_catalog.&)
			(SELECT pg_catalog.max(partition) FROM %1$s.idempotency_shards()))
$_$;
COMMENT ON FUNCTION %1$s.idempotency_shard IS
'How to connect to the shard that has a tenant, for transactions of more than one call.';

-- Calls one shard after the other, from a random one on, until there are max_rows; or, for
-- one tenant, the tenant''s.  A shard that can''t be reached is passed over, unless none can;
-- so is one that refuses, once others have handed out something.
-- RUN ON ALL would hand out up to max_rows of each shard; and with one shard down it would
-- fail, while the others had handed out what nobody got.
CREATE FUNCTION %1$s.idempotency_in_turn(tenant_id text, max_rows int4, call text) RETURNS SETOF record
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $_$
DECLARE
	_partition int4;
	_left int8 := max_rows;
	_found int8;
	_was_reached bool := false;
BEGIN
	IF tenant_id IS NOT NULL THEN
		RETURN QUERY EXECUTE call USING hashtext(tenant_id), max_rows;
		RETURN;
	END IF;
	FOR _partition IN SELECT min(partition) FROM %1$s.idempotency_shards() GROUP BY server ORDER BY random() LOOP
		BEGIN
			RETURN QUERY EXECUTE call USING _partition, _left::int4;
			GET DIAGNOSTICS _found = ROW_COUNT;
			_left := _left - _found;
			_was_reached := true;
			EXIT WHEN _left <= 0;
		EXCEPTION WHEN OTHERS THEN	-- what others have handed out must not be lost
			IF _left IS NOT DISTINCT FROM max_rows AND SQLSTATE NOT IN ('XX000', '57P01', '57P02') THEN
				RAISE;
			END IF;
			RAISE WARNING 'a shard was passed over: %%', SQLERRM;
		END;
	END LOOP;
	IF NOT _was_reached THEN
		RAISE 'no shard can be reached' USING ERRCODE = 'connection_failure';
	END IF;
END $_$;
COMMENT ON FUNCTION %1$s.idempotency_in_turn IS 'What the functions that may be called for all tenants, up to a limit, have in common.';
$$, extnamespace::regnamespace, :'cluster')
FROM pg_extension WHERE extname = 'idempotency' AND :'functions' = '{}';

-- Types.
SELECT format(E'CREATE TYPE %1$s AS (%2$s);\nCOMMENT ON TYPE %1$s IS %3$L;\n',
	t.oid::regtype,
	(SELECT string_agg(format('%I %s', attname, format_type(atttypid, atttypmod)), ', ' ORDER BY attnum)
	 FROM pg_attribute WHERE attrelid = t.typrelid AND attnum > 0),
	obj_description(t.oid, 'pg_type'))
FROM pg_extension AS e JOIN pg_depend AS d ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND d.deptype = 'e'
JOIN pg_type AS t ON d.classid = 'pg_type'::regclass AND d.objid = t.oid
WHERE extname = 'idempotency' AND :'functions' = '{}' AND t.typtype = 'c'
	AND (SELECT relkind FROM pg_class AS c WHERE c.oid = t.typrelid) = 'c';

-- Functions, each with the rule by which it runs.
WITH rules (name, rule, reason) AS (VALUES
	('idempotency_claim_abandoned', 'in turn', NULL),
	('webhook_inbox_fetch', 'in turn', NULL),
	('webhook_inbox_requeue_dead', 'in turn', NULL),
	('idempotency_sweep', 'all', NULL),
	('idempotency_stats', 'all', NULL),
	('idempotency_stats_reset', 'all', NULL),
	('idempotency_activity', 'all', NULL),
	('idempotency_grant', 'all', NULL),
	('idempotency_revoke', 'all', NULL),
	('idempotency_request_hash', 'any', NULL),
	('idempotency_derive_key', 'any', NULL),
	('webhook_inbox_process', 'refused', 'It commits between events, and its handler runs where they are.'),
	('idempotency_set_profile', 'left out', 'it is what idempotency_grant and idempotency_revoke call on the shard')
),
chosen (oid) AS (
	SELECT d.objid
	FROM pg_extension AS e JOIN pg_depend AS d ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND d.deptype = 'e'
	WHERE e.extname = 'idempotency' AND d.classid = 'pg_proc'::regclass AND :'functions' = '{}'
	UNION ALL
	SELECT unnest(:'functions'::oid[])
),
-- Arguments by their number.  What is a name of the shard's is passed as text.
inputs AS (
	SELECT p.oid, i, p.proargnames[i] AS name, p.proargnames[i] LIKE 'max\_%' AS is_limit,
		CASE WHEN t.oid IN ('regprocedure'::regtype, 'regrole'::regtype) THEN 'text' ELSE t.oid::regtype::text END AS type,
		CASE WHEN t.oid IN ('regprocedure'::regtype, 'regrole'::regtype) THEN '::pg_catalog.' || t.oid::regtype ELSE '' END AS conversion,
		CASE WHEN p.provariadic <> 0 AND i = p.pronargs THEN 'VARIADIC ' ELSE '' END AS keyword
	FROM chosen JOIN pg_proc AS p USING (oid), unnest(p.proargtypes) WITH ORDINALITY AS t (oid, i)
),
lists AS (
	SELECT oid,
		string_agg(type, ', ' ORDER BY i) AS types,
		string_agg('$' || i, ', ' ORDER BY i) AS plain,
		string_agg(keyword || '$' || i || conversion, ', ' ORDER BY i) AS converted,
		string_agg('$' || i + 1 || conversion, ', ' ORDER BY i) AS shifted,
		min(i) FILTER (WHERE name = 'tenant_id') AS tenant,
		min(i) FILTER (WHERE is_limit) AS row_limit,
		string_agg(CASE WHEN is_limit THEN '$2' ELSE '%L' END, ', ' ORDER BY i) AS places,
		string_agg('$' || i, ', ' ORDER BY i) FILTER (WHERE NOT is_limit) AS fillers
	FROM inputs GROUP BY oid
),
outputs AS (
	SELECT p.oid, p.proargnames[i] AS name, t.oid::regtype AS type, i
	FROM chosen JOIN pg_proc AS p USING (oid), unnest(p.proallargtypes) WITH ORDINALITY AS t (oid, i)
	WHERE p.proargmodes[i] IN ('o', 't')
	UNION ALL
	SELECT p.oid, a.attname, a.atttypid::regtype, a.attnum
	FROM chosen JOIN pg_proc AS p USING (oid) JOIN pg_type AS t ON t.oid = p.prorettype
	JOIN pg_attribute AS a ON a.attrelid = t.typrelid AND a.attnum > 0
),
columns AS (
	SELECT oid, string_agg(format('%I %s', name, type), ', ' ORDER BY i) AS columns,
		string_agg(format('pg_catalog.%s(%I)::%s', CASE type WHEN 'timestamptz'::regtype THEN 'min' ELSE 'sum' END, name, type), ', ' ORDER BY i) AS sums
	FROM outputs GROUP BY oid
),
described AS (
	SELECT n.nspname::regnamespace AS schema, format('%I.%I', n.nspname, p.proname) AS name, p.oid::regprocedure AS signature,
		CASE WHEN p.proargnames[1] = 'tenant_id' AND p.pronargdefaults < p.pronargs THEN 'tenant' ELSE rule END AS rule, reason,
		CASE p.prokind WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END AS kind,
		regexp_replace(pg_get_function_arguments(p.oid), '\mreg(procedure|role)\M', 'text', 'g') AS arguments,
		regexp_replace(pg_get_function_identity_arguments(p.oid), '\mreg(procedure|role)\M', 'text', 'g') AS identity,
		pg_get_function_result(p.oid) AS result, p.proretset AS is_set, p.provariadic <> 0 AS is_variadic,
		CASE WHEN p.proisstrict THEN ' STRICT' ELSE '' END AS strict,	-- a PL/Proxy function must be volatile
		coalesce(types, '') AS types, coalesce(plain, '') AS plain, coalesce(converted, '') AS converted,
		shifted, tenant, row_limit, places, fillers, columns, sums,
		obj_description(p.oid, 'pg_proc') AS comment
	FROM chosen JOIN pg_proc AS p USING (oid) LEFT JOIN lists USING (oid) LEFT JOIN columns USING (oid)
	JOIN pg_namespace AS n ON n.oid = p.pronamespace LEFT JOIN rules AS r ON r.name = p.proname
),
-- What a PL/Proxy function can't do by itself is done in SQL around one.
parts AS (
	SELECT *, CASE
		WHEN rule = 'in turn' THEN name || '_on'
		WHEN rule = 'all' AND NOT is_set THEN name || '_all'
		WHEN rule = 'any' AND is_variadic THEN name || '_any' END AS helper,
		CASE rule
		WHEN 'tenant' THEN $$pg_catalog.hashtext(coalesce(tenant_id, ''))$$
		WHEN 'in turn' THEN '$1'
		ELSE upper(rule) END AS run_on
	FROM described
),
remotes AS (
	SELECT *, format(E'\n\tCLUSTER %L;\n\tRUN ON %s;\n\tSELECT r.* FROM %s(%s) AS r;\n', :'cluster', run_on, name,
		CASE rule WHEN 'in turn' THEN shifted ELSE converted END) AS remote
	FROM parts
),
bodies AS (
	SELECT *, CASE
		WHEN helper IS NULL THEN remote
		WHEN rule = 'in turn' THEN
			format(CASE WHEN is_set THEN 'SELECT *' ELSE 'SELECT pg_catalog.count(*)' END
				|| ' FROM %s.idempotency_in_turn($%s, $%s, pg_catalog.format(%L, %s)) AS r(%s)',
				schema, tenant, row_limit,
				format(CASE WHEN is_set THEN 'SELECT * FROM %s(%s)' ELSE 'SELECT n FROM pg_catalog.generate_series(1, %s(%s)) AS n' END,
					helper, '$1, ' || places),
				fillers, coalesce(columns, 'n int8'))
		WHEN rule = 'all' THEN format('SELECT %s FROM %s(%s)', coalesce(sums, 'NULL'), helper, plain)
		ELSE format('SELECT %s(%s)', helper, plain) END AS body
	FROM remotes
)
SELECT CASE
	WHEN rule IS NULL THEN format($$DO %L;$$,
		format($$BEGIN RAISE 'there is no rule for %s'; END$$, signature))
	WHEN rule = 'left out' THEN format('-- left out: %s: %s', signature, reason)
	WHEN rule = 'refused' THEN format(E'CREATE %1$s %2$s(%3$s)\nLANGUAGE plpgsql AS $$\nBEGIN\n\tRAISE %4$L USING ERRCODE = %5$L,\n\t\tDETAIL = %6$L, HINT = %7$L;\nEND $$;\nCOMMENT ON %1$s %2$s(%8$s) IS %9$L;\n',
		kind, name, arguments, signature || ' does not go through the proxy', 'feature_not_supported', reason,
		'Call it on each shard; idempotency_shards() tells where they are.', identity, comment)
	ELSE
		CASE WHEN helper IS NOT NULL THEN
			format(E'CREATE FUNCTION %s(%s) RETURNS %s\nLANGUAGE plproxy AS $$%s$$;\n\n',
				helper,
				CASE rule WHEN 'in turn' THEN 'int4, ' || types ELSE types END,
				CASE WHEN rule <> 'all' THEN result WHEN columns IS NULL THEN 'SETOF ' || result ELSE format('TABLE (%s)', columns) END,
				remote)
		ELSE '' END
		|| format(E'CREATE FUNCTION %1$s(%2$s) RETURNS %3$s\nLANGUAGE %4$s%5$s AS $$%6$s$$;\nCOMMENT ON FUNCTION %1$s(%7$s) IS %8$L;\n',
			name, arguments, result, CASE WHEN helper IS NULL THEN 'plproxy' ELSE 'sql' END, strict, body, identity, comment)
	END
FROM bodies ORDER BY signature::text COLLATE "C";

-- Views of a function go to the proxy.
WITH rules (name, reason) AS (VALUES
	('idempotency_keys', 'its rows are on the shards'),
	('webhook_inbox', 'its rows are on the shards'),
	('idempotency_profiles', 'each shard has its own')
)
SELECT CASE
	WHEN p.oid IS NOT NULL THEN format(E'CREATE VIEW %1$s AS SELECT * FROM %1$s();\nGRANT SELECT ON %1$s TO PUBLIC;\nCOMMENT ON VIEW %1$s IS %2$L;\n', c.oid::regclass, obj_description(c.oid, 'pg_class'))
	WHEN reason IS NOT NULL THEN format('-- left out: %s: %s', c.oid::regclass, reason)
	ELSE format($$DO %L;$$, format($$BEGIN RAISE 'there is no rule for %s'; END$$, c.oid::regclass)) END
FROM pg_extension AS e JOIN pg_depend AS d ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND d.deptype = 'e'
JOIN pg_class AS c ON d.classid = 'pg_class'::regclass AND d.objid = c.oid
LEFT JOIN pg_proc AS p ON p.proname = c.relname AND p.pronamespace = c.relnamespace AND p.pronargs = 0
LEFT JOIN rules AS r ON r.name = c.relname
WHERE e.extname = 'idempotency' AND c.relkind <> 'c' AND :'functions' = '{}'
ORDER BY c.relname;
