#!/usr/bin/python3
"""Prints CHANGELOG.md as Debian's changelog: `changelog.py VERSION EPOCH MAINTAINER`. What is unreleased is VERSION's."""
import email.utils
import re
import sys
import textwrap

version, epoch, maintainer = sys.argv[1:]
date = email.utils.formatdate(int(epoch))
with open("CHANGELOG.md", encoding="utf-8") as file:
    sections = re.split(r"^## ", file.read(), flags=re.M)[1:]
for section in sections:
    title, _, text = section.partition("\n")
    items = re.split(r"^- ", text, flags=re.M)[1:]
    released = version if title.strip() == "Unreleased" else title.split()[0] + "-1"
    print(f"tallybox ({released}) unstable; urgency=medium\n")
    for item in items:
        words = " ".join(item.replace("`", "").split())
        print(textwrap.fill(words, 76, initial_indent="  * ", subsequent_indent="    "))
    print(f"\n -- {maintainer}  {date}\n")
