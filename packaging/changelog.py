#!/usr/bin/python3
"""Prints CHANGELOG.md as Debian's changelog: `changelog.py VERSION EPOCH MAINTAINER [PACKAGE]`.

CHANGELOG.md has the form of Keep a Changelog: a heading for each version (`## [0.1.0] - 2026-11-29`), in it headings
such as `### Added`, and below these lists. Each version becomes an entry, with the date of its heading. VERSION is the
package's own: its entry comes first, has what is `[Unreleased]` as well, and the date EPOCH."""
import calendar
import email.utils
import re
import sys
import textwrap
import time

VERSION = r"\[([^\]]+)\](?: - (\d{4}-\d\d-\d\d))?"


def sections(text):
    """Each version's name, date and text, in the file's order."""
    for section in re.split(r"^## ", text, flags=re.M)[1:]:
        title, _, body = section.partition("\n")
        match = re.fullmatch(VERSION, title.strip())
        if not match or (match[2] is None) != (match[1] == "Unreleased"):
            sys.exit(f"CHANGELOG.md: {title!r} is neither [Unreleased] nor a version with its date: [0.1.0] - 2026-11-29")
        yield match[1], match[2], body


def blocks(body):
    """Headings, paragraphs and list items, each as one line."""
    block = []
    for line in [*body.splitlines(), ""]:
        if block and (not line.strip() or line.startswith(("- ", "### ")) or block[0].startswith("### ")):
            yield " ".join(block)
            block = []
        if line.strip():
            block.append(line.strip())


def debian(body):
    """The lines of an entry: a heading is an item, what stands below it the item's text and list."""
    inner = ""
    for block in blocks(body.replace("`", "")):
        if block.startswith("### "):
            inner, first, text = "  ", "  * ", block[4:]
        elif block.startswith("- "):
            first, text = f"{inner}  {'-' if inner else '*'} ", block[2:]
        else:
            first, text = "    " if inner else "  * ", block
        yield textwrap.fill(text, 76, initial_indent=first, subsequent_indent=" " * len(first))


def main():
    version, epoch, maintainer, package = [*sys.argv[1:], "tallybox"][:4]
    upstream = version.rpartition("-")[0] or version
    with open("CHANGELOG.md", encoding="utf-8") as file:
        versions = list(sections(file.read()))
    own = [line for name, _, body in versions if name in ("Unreleased", upstream) for line in debian(body)]
    entries = [(version, int(epoch), own or ["  * No change that is noticed outside."])]
    for name, date, body in versions:
        if name not in ("Unreleased", upstream):
            entries.append((f"{name}-1", calendar.timegm(time.strptime(date, "%Y-%m-%d")), debian(body)))
    for name, seconds, lines in entries:
        print(f"{package} ({name}) unstable; urgency=medium\n")
        print("\n".join(lines))
        print(f"\n -- {maintainer}  {email.utils.formatdate(seconds)}\n")


main()
