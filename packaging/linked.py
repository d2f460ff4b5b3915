"""What a package's programs link, as cargo knows it."""
import json
import subprocess
import sys

# The console's libraries: folder below console/vendor, and licence.
CONSOLE = {"lit-html": "BSD-3-Clause", "mqtt": "MIT"}
PROGRAMS = {
    "tallybox": "/usr/bin/tallybox and /usr/libexec/tallybox-capture are",
    "tallybox-fleet": "/usr/bin/tallybox-fleet is",
}


def linked(target, package):
    """Names and versions of what a package links: its features are not those that the whole workspace has together."""
    command = ["cargo", "tree", "--locked", "--edges=normal", "--target", target, "--prefix=none", "--format={p}", "-p", package]
    lines = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    return {tuple(line.split()[:2]) for line in lines if line.strip()}


def resolved(target, package):
    """What a package's programs link, itself included, without dependencies of tests and build scripts: id -> the crate
    as cargo describes it, and the ids of what it needs of that."""
    command = ["cargo", "metadata", "--format-version=1", "--locked", "--filter-platform", target]
    data = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    packages = {package["id"]: package for package in data["packages"]}
    nodes = {node["id"]: node for node in data["resolve"]["nodes"]}
    used = None if package == "tallybox" else linked(target, package)
    todo = [next(id for id, one in packages.items() if one["name"] == package and not one["source"])]
    found = {}
    while todo:
        id = todo.pop()
        if id in found:
            continue
        needed = []
        for dep in nodes[id]["deps"]:
            known = packages[dep["pkg"]]
            is_used = used is None or (known["name"], f"v{known['version']}") in used
            if is_used and any(kind["kind"] is None for kind in dep["dep_kinds"]):
                needed.append(dep["pkg"])
        found[id] = (packages[id], needed)
        todo += needed
    return found


def crates(target, package):
    """Tallybox, and the crates of others that its binaries link."""
    found = [crate for crate, _ in resolved(target, package).values()]
    root = next(crate for crate in found if crate["name"] == package and not crate["source"])
    # A crate without a source is a folder of this repository, under tallybox's own licence.
    for own in found:
        if not own["source"] and own["license"] != root["license"]:
            sys.exit(f"{own['name']} has another licence than tallybox: {own['license']}")
    others = [crate for crate in found if crate["source"]]
    return root, sorted(others, key=lambda crate: (crate["name"], crate["version"]))
