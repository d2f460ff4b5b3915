#!/usr/bin/python3
"""Prints the software bill of materials of a package, as CycloneDX 1.6: `sbom.py TARGET_TRIPLE PACKAGE VERSION EPOCH`.
What is linked into its programs, with the checksums of Cargo.lock, and what the console brings. What Debian brings at
run time is in the package's own "Depends". The same sources make the same bytes."""
import datetime
import json
import os
import re
import sys
import tomllib

from linked import CONSOLE, PROGRAMS, crates, resolved

TARGET, PACKAGE, VERSION, EPOCH = sys.argv[1:]


def purl(crate):
    return f"pkg:cargo/{crate['name']}@{crate['version']}"


def checksums():
    """Name and version of each crate from the registry -> SHA-256 of its archive."""
    with open("Cargo.lock", "rb") as file:
        return {(one["name"], one["version"]): one["checksum"] for one in tomllib.load(file)["package"] if "checksum" in one}


def component(crate, known):
    found = {"type": "library", "bom-ref": purl(crate), "name": crate["name"], "version": crate["version"]}
    found |= {"licenses": [{"expression": re.sub(r"\s*/\s*", " OR ", crate["license"])}], "purl": purl(crate)}
    # A folder of this repository has none.
    if crate["source"]:
        found["hashes"] = [{"alg": "SHA-256", "content": known[crate["name"], crate["version"]]}]
    # It writes code while others are compiled, and is not linked itself.
    if any("proc-macro" in target["kind"] for target in crate["targets"]):
        found["scope"] = "excluded"
    if crate["name"] == "libsqlite3-sys":
        found["components"] = [sqlite(crate)]
    return found


def sqlite(crate):
    """SQLite's own source, which this crate brings and compiles."""
    with open(os.path.join(os.path.dirname(crate["manifest_path"]), "sqlite3", "sqlite3.h"), encoding="utf-8") as file:
        version = re.search(r'^#define SQLITE_VERSION\s+"([\d.]+)"', file.read(), re.M)[1]
    names = {"name": "sqlite", "version": version, "bom-ref": f"sqlite@{version}"}
    return {"type": "library", **names, "licenses": [{"expression": "blessing"}], "cpe": f"cpe:2.3:a:sqlite:sqlite:{version}:*:*:*:*:*:*:*"}


def vendored():
    """What the console brings."""
    with open("console/vendor/pinned.txt", encoding="utf-8") as file:
        pinned = re.findall(r"^(\S+) (\S+) sha512-\S+$", file.read(), re.M)
    for name, version in pinned:
        ref = f"pkg:npm/{name}@{version}"
        yield {"type": "library", "bom-ref": ref, "name": name, "version": version, "licenses": [{"expression": CONSOLE[name]}], "purl": ref}


def main():
    root, linked = crates(TARGET, PACKAGE)
    used = resolved(TARGET, PACKAGE)
    ours = [one for one, _ in used.values() if not one["source"] and one["id"] != root["id"]]
    known = checksums()
    components = [component(crate, known) for crate in sorted([*ours, *linked], key=purl)]
    extra = list(vendored()) if PACKAGE == "tallybox-fleet" else []
    top = f"pkg:deb/{PACKAGE}@{VERSION}"
    ref = lambda crate: top if crate["id"] == root["id"] else purl(crate)
    graph = [{"ref": ref(crate), "dependsOn": sorted(ref(used[id][0]) for id in needed)} for crate, needed in used.values()]
    graph = sorted(graph, key=lambda one: one["ref"])
    top_entry = next(one for one in graph if one["ref"] == top)
    top_entry["dependsOn"] += [one["bom-ref"] for one in extra]
    about = {"type": "application", "bom-ref": top, "name": PACKAGE, "version": VERSION, "purl": top, "licenses": [{"expression": root["license"]}]}
    at = datetime.datetime.fromtimestamp(int(EPOCH), datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    metadata = {"timestamp": at, "component": about | {"description": PROGRAMS[PACKAGE].removesuffix(" is").removesuffix(" are")}}
    bill = {"$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json", "bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1}
    print(json.dumps(bill | {"metadata": metadata, "components": components + extra, "dependencies": graph}, indent=1, sort_keys=False))


main()
