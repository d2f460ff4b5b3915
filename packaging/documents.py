#!/usr/bin/python3
"""Makes the documents of a package: `documents.py DIRECTORY [tallybox-fleet]`, which becomes /usr/share/doc/PACKAGE.
They are the repository's own, without the pages for developers. A link to a page of the package leads to it; any other
becomes plain text. So do paths in the text: `docs/mqtt.md` is `mqtt.md`, `config/examples` is
`/usr/share/doc/tallybox/examples`."""
import os
import re
import shutil
import sys

PACKAGE = sys.argv[2] if len(sys.argv) > 2 else "tallybox"
FOLDER = f"/usr/share/doc/{PACKAGE}/"
# The pages for whoever has boxes, a broker or a console, and none of those boxes here.
OPERATORS = ("brokers", "fleet", "glossary", "install", "mqtt", "names", "notes", "scaling", "twin", "updates")
NOTE = """
> This is the README of the source. The package brings the pages that it links to, except those for developers. Paths
> that begin with `docs`, `src`, `tests`, `scripts` or `packaging`, and the `make` commands, are for the source.
> `configuration.md` explains `tallybox.toml`, `examples` and `servers`.
"""


def is_for_developers(page):
    """Whether a page is only for those who work on the source: its first line after the title says for whom it is."""
    with open(page, encoding="utf-8") as file:
        return bool(re.match(r"# .*\n+For developers:", file.read()))


def pages():
    """The pages below docs that come along, their pictures, and the folders that have some."""
    for folder, folders, names in os.walk("docs"):
        # Records of decisions are for developers.
        folders[:] = sorted(name for name in folders if name != "decisions")
        found = [os.path.join(folder, name) for name in sorted(names) if name.endswith((".md", ".svg"))]
        found = [page for page in found if page.endswith(".svg") or not is_for_developers(page)]
        yield from [folder, *found] if found and folder != "docs" else found


def folder(name):
    """A folder below config, with its files."""
    return {f"config/{name}": name} | {f"config/{name}/{file}": f"{name}/{file}" for file in sorted(os.listdir(f"config/{name}"))}


def installed():
    """Repository path -> path below the package's folder, of all that comes along."""
    if PACKAGE == "tallybox-fleet":
        names = {f"docs/{page}.md": f"{page}.md" for page in OPERATORS}
        names |= {"config/README.md": "configuration.md", "console/README.md": "console.md"}
        names |= {"docs/tallybox-verify.py": "tallybox-verify.py"}
        names |= {"console/nginx.conf": "servers/console-nginx.conf", "config/tallybox.toml": "tallybox.toml"}
        return names | folder("examples") | folder("servers")
    names = {name: name for name in ("README.md", "SECURITY.md")}
    names |= {"config/README.md": "configuration.md", "config/tallybox.toml": "tallybox.toml"}
    names |= {"docs/tallybox-verify.py": "tallybox-verify.py"}
    # docs/README.md would be a second README.md.
    names |= {page: "index.md" if page == "docs/README.md" else os.path.relpath(page, "docs") for page in pages()}
    return names | folder("examples") | folder("servers")


# What Debian keeps under names of its own: a package's changes, and its licences.
DEBIAN = {"CHANGELOG.md": "changelog.Debian.gz", "LICENSE-MIT": "copyright", "LICENSE-APACHE": "copyright"}


def linked(text, source, names):
    """Links lead to what comes along, or are plain text; a picture that does not come along is left out."""
    here = os.path.dirname(names[source])

    def replace(match):
        picture, words, target = match.groups()
        if re.match(r"[a-z]+:|#", target):
            return match[0]
        path, hash_, anchor = target.partition("#")
        to = (names | DEBIAN).get(os.path.normpath(os.path.join(os.path.dirname(source), path)))
        if to:
            return f"{picture}[{words}]({os.path.relpath(to, here or '.')}{hash_}{anchor})"
        return "" if picture else words

    return re.sub(r"(!?)\[([^\]\n]*)\]\(([^)\s]+)\)", replace, text)


def renamed(text, markdown, names):
    """Paths of the repository in the text are those of the package; whole ones where somebody may copy them."""

    def replace(match):
        name = names.get(match[0].rstrip("/"))
        if match[0] == "config/":
            return FOLDER
        if name is None:
            return match[0]
        return name if markdown and match[0].endswith(".md") else FOLDER + name

    return re.sub(r"(?<![\w./-])(?:docs|config)/(?:[\w./-]*\w)?", replace, text)


def main():
    out, names = sys.argv[1], installed()
    for source, name in names.items():
        if os.path.isdir(source):
            os.makedirs(os.path.join(out, name), exist_ok=True)
            continue
        to = os.path.join(out, name)
        with open(source, encoding="utf-8") as file:
            text = file.read()
        if source.endswith(".md"):
            text = linked(text, source, names)
        if source == "README.md":
            title, rest = text.split("\n", 1)
            text = f"{title}\n{NOTE}{rest}"
        os.makedirs(os.path.dirname(to), exist_ok=True)
        with open(to, "w", encoding="utf-8") as file:
            file.write(renamed(text.replace("/usr/share/doc/tallybox/", FOLDER), source.endswith(".md"), names))
        shutil.copymode(source, to)


main()
