#!/usr/bin/python3
"""Checks the META.json of an unpacked distribution against PGXN's
specification of it (https://pgxn.org/spec/), version 1."""
import json
import pathlib
import re
import sys

folder = pathlib.Path(sys.argv[1])
meta = json.loads((folder / "META.json").read_text())
complaints = []

REQUIRED = {"abstract", "license", "maintainer", "meta-spec", "name",
			"provides", "version"}
OPTIONAL = {"description", "generated_by", "no_index", "prereqs",
			"release_status", "resources", "tags"}
PHASES = {"configure", "build", "test", "runtime", "develop"}
RELATIONS = {"requires", "recommends", "suggests", "conflicts"}
VERSION = r"\d+\.\d+\.\d+([-+]?[a-zA-Z][-\w]*)?"


def check(condition, complaint):
	if not condition:
		complaints.append(complaint)


def text(value):
	return isinstance(value, str) and value.strip() != ""


def check_extension(name, extension):
	check({"file", "version"} <= set(extension), f"{name}: file or version")
	check(set(extension) <= {"file", "version", "abstract", "docfile"},
		  f"{name}: a field that PGXN does not know")
	check(re.fullmatch(VERSION, extension.get("version", "")),
		  f"{name}: version is not semantic")
	for field in ("file", "docfile"):
		if field in extension:
			check((folder / extension[field]).is_file(),
				  f"{name}: no file {extension[field]}")


def check_prerequisites(prereqs):
	check(set(prereqs) <= PHASES, "prereqs: phase")
	for phase, relations in prereqs.items():
		check(set(relations) <= RELATIONS, f"prereqs: {phase}")
		for relation in relations.values():
			for name, version in relation.items():
				check(version == 0 or re.fullmatch(VERSION, str(version)),
					  f"prereqs: version of {name}")


check(REQUIRED <= set(meta), f"missing: {REQUIRED - set(meta)}")
check(all(field in REQUIRED | OPTIONAL or re.match("[xX]_.", field)
		  for field in meta), "a field that PGXN does not know")
check(re.fullmatch(r"[^\s/\\\x00-\x1f]{2,}", meta.get("name", "")), "name")
check(re.fullmatch(VERSION, meta.get("version", "")),
	  "version is not semantic")
check(text(meta.get("abstract")), "abstract")
check(text(meta.get("maintainer")) or
	  (meta.get("maintainer") and all(map(text, meta["maintainer"]))),
	  "maintainer")
check(meta.get("license") == "postgresql", "license")
check(meta.get("meta-spec", {}).get("version") == "1.0.0", "meta-spec")
check(meta.get("provides"), "provides")
check(all(map(text, meta.get("tags", []))), "tags")
for name, extension in meta.get("provides", {}).items():
	check_extension(name, extension)
check_prerequisites(meta.get("prereqs", {}))

print("\n".join(complaints) or "valid")
sys.exit(bool(complaints))
