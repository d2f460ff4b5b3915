"""The figures of docs/benchmarks as files of data: docs/benchmarks/results/TOPIC-DATE-COMMIT.json."""

import json
import os
import platform
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGES = ROOT / "docs" / "benchmarks"
RESULTS = PAGES / "results"


def git(*words):
    return subprocess.run(["git", "-C", ROOT, *words], capture_output=True, text=True, check=True).stdout.strip()


def add_save(parser):
    parser.add_argument("--save", action="store_true", help="also write docs/benchmarks/results/TOPIC-DATE-COMMIT.json")


def check_save(args):
    """A result belongs to a commit: refuses to measure a tree that has none, before any time is spent."""
    if args.save and git("status", "--porcelain", "--", "src", "crates", "Cargo.toml", "Cargo.lock"):
        raise SystemExit("--save: the sources differ from their commit; commit first, and build the program anew")


def command():
    """This call, as somebody else would type it: cargo's target directory and recordings may be anywhere."""
    script = Path(sys.argv[0]).resolve().relative_to(ROOT)

    def short(word):
        if word.endswith("/tallybox"):
            return f"target/{Path(word).parent.name}/tallybox"
        return Path(word).name if word.startswith("/") else word

    return shlex.join([str(script), *(short(word) for word in sys.argv[1:] if word != "--save")])


def machine():
    system = dict(line.strip().split("=", 1) for line in open("/etc/os-release") if "=" in line)
    gstreamer = subprocess.run(["gst-launch-1.0", "--version"], capture_output=True, text=True).stdout.split("\n")[1:2]
    return ", ".join([f"{os.cpu_count()} cores, {platform.machine()}", system["PRETTY_NAME"].strip('"'), *gstreamer])


def dump(result):
    """JSON whose differences can be read: the innermost lists and objects on one line each."""
    text = json.dumps(result, indent=1, ensure_ascii=False)
    joined = lambda match: re.sub(r"\n *", " ", match[0]).replace("[ ", "[").replace(" ]", "]")
    return re.sub(r"[\[{]\n[^\[\]{}]*\n *[\]}]", joined, text) + "\n"


def save(args, topic, figures):
    """Writes the figures of one topic, from which benches/tables and benches/plot take them."""
    if not args.save:
        return
    now = time.gmtime()
    commit = git("rev-parse", "--short=7", "HEAD")
    result = {
        "topic": topic,
        "measured": time.strftime("%Y-%m-%dT%H:%MZ", now),
        "commit": commit,
        "command": command(),
        "machine": machine(),
        "figures": figures,
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{topic}-{time.strftime('%Y-%m-%d', now)}-{commit}.json"
    path.write_text(dump(result))
    print(f"{path.relative_to(ROOT)}: now run benches/tables and benches/plot, and commit")


def runs(topic):
    return [json.loads(path.read_text()) for path in RESULTS.glob(f"{topic}-[0-9]*.json")]


def newest(topic):
    """The last run of a topic."""
    if found := runs(topic):
        return max(found, key=lambda run: run["measured"])
    raise SystemExit(f"{RESULTS} has nothing of {topic}")
