-- Prints docs/reference.md: what the catalog says of the extension's functions,
-- relations, types and settings.  A function's comment has a line that sums it up,
-- and may have sections (Arguments, Outcomes, Result) whose lines are indented by
-- two spaces and say "name, name: meaning", a line of errors, and more text.
\set ON_ERROR_STOP on
SET search_path = public, pg_catalog;
LOAD 'idempotency';

-- names of the extension in a text, as code
CREATE FUNCTION pg_temp.marked(sentence text) RETURNS text LANGUAGE sql AS $$
	SELECT regexp_replace(sentence, '\m((?:idempotency[._]|webhook_)\w*[a-z])\M', '`\1`', 'g')
$$;

CREATE FUNCTION pg_temp.marked_list(names text[]) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(format('`%s`', name), ', ' ORDER BY place) FROM unnest(names) WITH ORDINALITY AS n (name, place)
$$;

CREATE FUNCTION pg_temp.entries(comment text, section text)
RETURNS TABLE (place bigint, names text[], meaning text) LANGUAGE sql AS $$
	SELECT place, string_to_array(entry[1], ', '), entry[2]
	FROM string_to_table(substring(comment FROM section || E':\n((?:  [^\n]*(?:\n|$))+)'), E'\n') WITH ORDINALITY AS l (line, place),
		regexp_match(line, '^  ([a-z_, ]+): (.*)$') AS entry
	WHERE entry IS NOT NULL
$$;

CREATE FUNCTION pg_temp.meaning(comment text, section text, name text) RETURNS text LANGUAGE sql AS $$
	SELECT pg_temp.marked(e.meaning) FROM pg_temp.entries(comment, section) AS e WHERE name = ANY (e.names)
$$;

CREATE TEMP VIEW member AS
SELECT d.classid, d.objid AS oid FROM pg_depend AS d JOIN pg_extension AS e ON e.oid = d.refobjid
WHERE e.extname = 'idempotency' AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e';

-- of those with one name, the first is described at length
CREATE TEMP VIEW routine AS
SELECT p.oid, p.proname AS name, obj_description(p.oid, 'pg_proc') AS comment,
	p.prokind = 'p' AS is_procedure, p.proretset AS returns_set, p.pronargs, p.proargnames, p.proargtypes, p.proallargtypes, p.proargmodes,
	row_number() OVER (PARTITION BY p.proname ORDER BY p.oid) AS variant
FROM member AS m JOIN pg_proc AS p ON p.oid = m.oid WHERE m.classid = 'pg_proc'::regclass;

CREATE TEMP VIEW relation AS
SELECT c.oid, c.relname AS name, c.relkind AS kind,
	CASE c.relkind WHEN 'c' THEN obj_description(c.reltype, 'pg_type') ELSE obj_description(c.oid, 'pg_class') END AS comment
FROM pg_class AS c
WHERE c.oid IN (SELECT oid FROM member WHERE classid = 'pg_class'::regclass)
OR c.reltype IN (SELECT oid FROM member WHERE classid = 'pg_type'::regclass) AND c.relkind = 'c';

CREATE FUNCTION pg_temp.signature(routine routine) RETURNS text LANGUAGE sql AS $$
	SELECT format('%s%s(%s)', CASE WHEN routine.is_procedure THEN 'CALL ' END, routine.name,
		array_to_string(routine.proargnames[1:routine.pronargs], ', '))
$$;

CREATE FUNCTION pg_temp.arguments_table(routine routine) RETURNS text LANGUAGE sql AS $$
	SELECT E'| argument | type | default | |\n|---|---|---|---|\n' || string_agg(
		format('| `%s` | %s | %s | %s |', name, format_type(type, NULL),
			coalesce(regexp_replace(lower(pg_get_function_arg_default(routine.oid, i::int)), '::[a-z ]+$', ''), 'required'),
			pg_temp.meaning(routine.comment, 'Arguments', name)),
		E'\n' ORDER BY i)
	FROM unnest(routine.proargnames[1:routine.pronargs], routine.proargtypes::oid[]) WITH ORDINALITY AS a (name, type, i)
$$;

CREATE FUNCTION pg_temp.outcomes_table(routine routine) RETURNS text LANGUAGE sql AS $$
	SELECT E'| outcome | |\n|---|---|\n' || string_agg(
		format('| %s | %s |', pg_temp.marked_list(names), pg_temp.marked(meaning)), E'\n' ORDER BY place)
	FROM pg_temp.entries(routine.comment, 'Outcomes')
$$;

CREATE FUNCTION pg_temp.result_table(routine routine) RETURNS text LANGUAGE sql AS $$
	SELECT E'| result | type | |\n|---|---|---|\n' || string_agg(
		format('| `%s` | %s | %s |', name, format_type(type, NULL), pg_temp.meaning(routine.comment, 'Result', name)),
		E'\n' ORDER BY i)
	FROM unnest(routine.proargnames, routine.proallargtypes, routine.proargmodes) WITH ORDINALITY AS a (name, type, mode, i)
	WHERE mode IN ('o', 't')
$$;

CREATE FUNCTION pg_temp.returned(routine routine) RETURNS text LANGUAGE sql AS $$
	SELECT CASE WHEN routine.is_procedure THEN NULL
		WHEN routine.proargmodes IS NULL OR NOT routine.proargmodes && '{o,t}' THEN 'returns ' || pg_get_function_result(routine.oid)
		WHEN routine.returns_set THEN 'returns rows' ELSE 'returns a row' END
$$;

-- The paragraphs of a comment: what is no section, no entry and no line of errors.
CREATE FUNCTION pg_temp.paragraphs(comment text) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(pg_temp.marked(line), E'\n\n' ORDER BY i)
	FROM string_to_table(comment, E'\n') WITH ORDINALITY AS l (line, i)
	WHERE line !~ '^(  |Arguments:|Outcomes:|Result:|Errors:)'
$$;

CREATE FUNCTION pg_temp.description(routine routine) RETURNS text LANGUAGE sql AS $$
	SELECT concat_ws(E'\n\n',
		'### ' || routine.name,
		format(E'```\n%s\n```', concat_ws(' ', pg_temp.signature(routine), pg_temp.returned(routine))),
		pg_temp.paragraphs(routine.comment),
		pg_temp.arguments_table(routine),
		pg_temp.outcomes_table(routine),
		pg_temp.result_table(routine),
		'[Errors](#errors): ' || substring(routine.comment FROM 'Errors: ([^\n]*)'),
		(SELECT string_agg(format('`%s`: %s', other.oid::regprocedure, pg_temp.marked(other.comment)), E'\n\n' ORDER BY other.oid)
		 FROM routine AS other WHERE other.name = routine.name AND other.variant > 1))
$$;

-- A view that shows what a function returns has its columns' meaning from there.
CREATE FUNCTION pg_temp.columns_table(relation relation) RETURNS text LANGUAGE sql AS $$
	SELECT E'| column | type | |\n|---|---|---|\n' || string_agg(
		format('| `%s` | %s | %s |', attname, format_type(atttypid, atttypmod),
			coalesce(pg_temp.marked(col_description(attrelid, attnum)), pg_temp.meaning(r.comment, 'Result', attname))),
		E'\n' ORDER BY attnum)
	FROM pg_attribute LEFT JOIN routine AS r ON r.name = relation.name
	WHERE attrelid = relation.oid AND attnum > 0 AND NOT attisdropped
$$;

CREATE FUNCTION pg_temp.indexes_table(relation relation) RETURNS text LANGUAGE sql AS $$
	SELECT E'| index | on | |\n|---|---|---|\n' || string_agg(
		format('| `%s` | `%s` | %s |', indexrelid::regclass, regexp_replace(pg_get_indexdef(indexrelid), '^.* USING btree ', ''),
			pg_temp.marked(obj_description(indexrelid, 'pg_class'))),
		E'\n' ORDER BY indexrelid)
	FROM pg_index WHERE indrelid = relation.oid
$$;

CREATE FUNCTION pg_temp.description(relation relation) RETURNS text LANGUAGE sql AS $$
	SELECT concat_ws(E'\n\n',
		format('### %s %s', CASE relation.kind WHEN 'r' THEN 'Table' WHEN 'v' THEN 'View' WHEN 'c' THEN 'Type' END, relation.name),
		initcap(left(relation.comment, 1)) || pg_temp.marked(substr(relation.comment, 2)) || '.',
		pg_temp.columns_table(relation),
		pg_temp.indexes_table(relation))
$$;

\echo # Reference
\echo
\echo '<!-- made by make reference from what the catalog says; to change it, change the comments in sql and the descriptions in src/settings.c -->'
\echo
\echo '`\\df+ idempotency_*` and `\\df+ webhook_*` in psql show the same of each function. Arguments can be passed by name'
\echo '(`scope => ''orders''`). What is not PUBLIC is granted by [profile](#profiles).'
\echo
\echo '* [Functions](#functions)'
\echo '* [Tables and views](#tables-and-views)'
\echo '* [Types](#types)'
\echo '* [Profiles](#profiles)'
\echo '* [Settings](#settings)'
\echo '* [Errors](#errors)'
\echo
\echo '## Functions'
\echo
\echo '| function | does |'
\echo '|---|---|'
SELECT format('| [`%s`](#%s) | %s |', pg_temp.signature(r), name, pg_temp.marked(split_part(comment, E'\n', 1)))
FROM routine AS r WHERE variant = 1 ORDER BY oid;
SELECT E'\n' || pg_temp.description(r) FROM routine AS r WHERE variant = 1 ORDER BY oid;

\echo
\echo '## Tables and views'
\echo
\echo 'The tables may be read, with `SELECT` granted to the profile `admin`. They are written by the functions only.'
SELECT E'\n' || pg_temp.description(r) FROM relation AS r WHERE kind IN ('r', 'v') ORDER BY oid;

\echo
\echo '## Types'
SELECT E'\n' || pg_temp.description(r) FROM relation AS r WHERE kind = 'c' ORDER BY oid;

\echo
\echo '## Profiles'
\echo
\echo 'What `idempotency_grant` grants, as `idempotency_profiles` lists it. What is not here is the owner''s, or PUBLIC''s because it'
\echo 'touches no table.'
\echo
\echo '| on | app | worker | admin |'
\echo '|---|---|---|---|'
SELECT format('| %s`%s` | %s | %s | %s |', kind, name,
	max(privilege) FILTER (WHERE profile = 'app'), max(privilege) FILTER (WHERE profile = 'worker'), max(privilege) FILTER (WHERE profile = 'admin'))
FROM (SELECT profile, privilege, coalesce(p.proname, c.relname) AS name, coalesce(p.oid, c.oid) AS oid,
		CASE c.relkind WHEN 'r' THEN 'table ' WHEN 'v' THEN 'view ' END AS kind
	FROM idempotency_profiles LEFT JOIN pg_proc AS p ON p.oid = routine LEFT JOIN pg_class AS c ON c.oid = relation) AS granted
GROUP BY kind, name ORDER BY kind NULLS FIRST, min(oid);

\echo
\echo '## Settings'
\echo
\echo 'Durations are written like intervals (`30min`, `24h`, `7 days`); a bare number is seconds, but for `idempotency.wait`. A year'
\echo 'counts 365.25 days, a month 30.'
\echo
\echo '| setting | default | may be set by | |'
\echo '|---|---|---|---|'
SELECT format('| `%s` | %s | %s | %s |', name, coalesce('`' || nullif(boot_val, '') || '`', 'empty'),
	CASE context WHEN 'user' THEN 'anybody' ELSE context END,
	concat_ws(' ', pg_temp.marked(short_desc), pg_temp.marked(extra_desc),
		CASE vartype WHEN 'integer' THEN format('From %s to %s.', min_val, max_val)
			WHEN 'enum' THEN format('One of %s.', pg_temp.marked_list(enumvals))
			WHEN 'bool' THEN 'On or off.' END))
FROM pg_settings WHERE name LIKE 'idempotency.%' ORDER BY name;

\echo
\echo '## Errors'
\echo
\echo 'Class `IK` is the extension''s own. The last column is what an HTTP service answers.'
\echo
\echo '| SQLSTATE | when | HTTP |'
\echo '|---|---|---|'
SELECT format('| `%s` | %s | %s |', code, condition, status)
FROM (VALUES
	('IK001', 'the key is null or empty', 400),
	('IK002', 'the key is too short, too long, of the wrong format, or has control characters', 400),
	('IK003', 'the tenant, scope, source, event id or stream is missing, longer than 255 bytes, or has control characters', 400),
	('IK004', 'the token is no longer that of the claim, or of the event', 409),
	('IK005', 'there is no such key, or no such event', 404),
	('42501', 'another tenant than the pinned one, EXECUTE was not granted, or a trigger of somebody else''s is on the table', 403),
	('22023', 'another bad argument; the message names it', 400),
	('25006', 'a writing call in a read-only transaction or on a standby', 503),
	('25000', 'a writing call in a parallel worker', 500),
	('55000', '`idempotency_stats` where nothing is counted; the hint says what to do', 500),
	('2D000', '`webhook_inbox_process` inside a transaction block', 500),
	('40001', 'above READ COMMITTED only, see [isolation levels](operations.md#isolation-levels): retry the transaction', 503)
) AS e (code, condition, status);
