#!/usr/bin/python3
"""Prints the Debian copyright file of a package: `copyright.py TARGET_TRIPLE [tallybox-fleet]`. Every crate that is
linked into it, with its own copyright lines and its own licence text, as cargo and the crates' sources have them. A
crate that does not say what it may be used under is an error."""
import collections
import glob
import os
import re
import sys

from linked import CONSOLE, PROGRAMS, crates

# Debian keeps this text for all packages.
COMMON = {"Apache-2.0": "On Debian systems its text is in /usr/share/common-licenses/Apache-2.0."}
LLVM = "Apache-2.0 with LLVM-exception"
# A text that is no licence, but says which there are.
NOTE = "note"
# What tells a text, without its punctuation; the narrower first.
KINDS = {
    LLVM: "llvm exceptions to the apache 2 0 license",
    "Apache-2.0": "apache license version 2 0 january 2004",
    "Unicode-3.0": "unicode license v3",
    "MIT": "permission is hereby granted free of charge to any person",
    "ISC": "permission to use copy modify and or distribute this software for any purpose",
    "BSD-3-Clause": "neither the name",
    "BSD-2-Clause": "redistribution and use in source and binary forms",
    "Unlicense": "this is free and unencumbered software",
    "Zlib": "altered source versions must be plainly marked as such",
}
FILES = ("LICEN[CS]E*", "COPYING*", "COPYRIGHT*", "NOTICE*", "UNLICENSE*", "license*", "copyright*")
OWN = """Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: tallybox
Comment: {} linked from tallybox itself and from the crates below,
 each under the licence that it names. Where it offers a choice, all that it offers is repeated.

Files: *
Copyright: {}
License: {}
"""
SQLITE = """Files: libsqlite3-sys-{}/sqlite3/*
Copyright: none; its authors disclaim it
License: public-domain
 The author disclaims copyright to this source code. In place of a legal notice, here is a blessing: May you do good and
 not evil. May you find forgiveness for yourself and forgive others. May you share freely, never taking more than you
 give.
Comment: https://www.sqlite.org/copyright.html
"""




def console():
    """What the console has from others, with the licence as each of them brings it."""
    folder = os.path.join("console", "vendor")
    if {one.name for one in os.scandir(folder) if one.is_dir()} != set(CONSOLE):
        sys.exit(f"{folder} has other libraries than packaging/copyright.py knows")
    for library, kind in CONSOLE.items():
        (path,) = glob.glob(os.path.join(folder, library, "LICENSE*"))
        with open(path, encoding="utf-8") as file:
            text = file.read()
        if name(body(text)) != kind:
            sys.exit(f"{path} is not {kind}")
        owners = "\n           ".join(notices(text))
        yield f"Files: usr/share/tallybox-fleet/console/vendor/{library}/*\nCopyright: {owners}\nLicense: {library}-{kind}\n{indent(strip(text))}\n"


def texts(package):
    """The licence files of a crate; one that is empty or says only where to look is left to its expression."""
    folder = os.path.dirname(package["manifest_path"])
    paths = {path for pattern in FILES for path in glob.glob(os.path.join(folder, pattern)) if os.path.isfile(path)}
    for path in sorted(paths):
        with open(path, encoding="utf-8", errors="replace") as file:
            yield file.read()


def short(expression):
    """SPDX as Debian writes it: "(A OR B) AND C" is "A or B, and C"."""
    words = expression.replace("/", " OR ").replace(" OR ", " or ").replace(" AND ", " and ").replace(" WITH ", " with ")
    return words.replace(") and ", ", and ").replace("(", "").replace(")", "")


def notices(text):
    """The lines that say whose it is; templates such as "Copyright [yyyy] [name of copyright owner]" do not."""
    for line in text.splitlines():
        line = line.strip(" \t#*/.-")
        if re.match(r"(copyright\b.*(\d{4}|\(c\)|©)|©)", line, re.I) and not re.search(r"[\[{<]\s*(yyyy|year)", line, re.I):
            yield re.sub(r"^(copyright\s*)?(\(c\)|©)?\s*(copyright\s*)?", "", line, flags=re.I).strip()


def strip(text):
    """A licence without its notices: each crate's are with the crate."""
    return "\n".join(line for line in text.splitlines() if not re.match(r"\W*(copyright|©)\s*(\(c\)|©|\d{4})", line, re.I))


def body(text):
    """A licence without notices, line breaks and punctuation, to tell equal ones."""
    return re.sub(r"\W+", " ", strip(text)).strip().lower()


def name(text):
    """What a licence text is."""
    for name, words in KINDS.items():
        if words in text:
            return name
    return NOTE


def indent(text):
    return "\n".join(" " + line.rstrip() if line.strip() else " ." for line in text.strip().splitlines())


def own_texts(package):
    """Its licence texts but those that Debian has: kind, key to tell equal ones by, and the text."""
    for text in texts(package):
        kind = name(body(text))
        if kind == LLVM:
            text = COMMON["Apache-2.0"] + "\n\n" + text[text.index("LLVM Exceptions") :]
        # Too short to be a licence: a pointer to one. The Apache licence is the same everywhere.
        if kind not in COMMON and len(body(text)) >= 100:
            yield kind, body(text), text


def labels(packages):
    """What each text is called: the one that most crates have by the licence's name, its variants with a number."""
    uses = collections.Counter((kind, key) for package in packages for kind, key in {own[:2] for own in own_texts(package)})
    count, called = collections.Counter(), {}
    for kind, key in sorted(uses, key=lambda use: (-uses[use], use)):
        count[kind] += 1
        called[key] = kind if count[kind] == 1 and kind != NOTE else f"{kind}-{count[kind]}"
    return called


def stanza(package, called):
    if not package["license"]:
        sys.exit(f"{package['name']} names no licence: ask its authors, or do without it")
    owners = dict.fromkeys(notice for text in texts(package) for notice in notices(text) if notice)
    owners = list(owners) or package["authors"] or [f"the authors of {package['name']}"]
    comment = package["repository"] or f"https://crates.io/crates/{package['name']}"
    special = sorted({called[key] for _, key, _ in own_texts(package)} - set(KINDS))
    if special:
        comment += f"\n What comes with it is repeated below: {', '.join(special)}."
    lines = [
        f"Files: {package['name']}-{package['version']}/*",
        "Copyright: " + "\n           ".join(owners),
        f"License: {short(package['license'])}",
        f"Comment: {comment}\n",
    ]
    return "\n".join(lines)


def main():
    program = sys.argv[2] if len(sys.argv) > 2 else "tallybox"
    own, packages = crates(sys.argv[1], program)
    called = labels(packages)
    with open("LICENSE-MIT", encoding="utf-8") as file:
        owners = list(notices(file.read()))
    out = [OWN.format(PROGRAMS[program], ", ".join(owners), short(own["license"]))]
    for package in packages:
        out.append(stanza(package, called))
        if package["name"] == "libsqlite3-sys":
            out.append(SQLITE.format(package["version"]))
    if program == "tallybox-fleet":
        out += console()
    full = {called[key]: text for package in packages for _, key, text in own_texts(package)} | COMMON
    out += [f"License: {label}\n{indent(strip(text))}\n" for label, text in sorted(full.items())]
    print("\n".join(out), end="")


main()
