"""What the tables of docs/benchmarks are made of: the newest figures of a topic, and how they are written."""

import textwrap
from statistics import median_high as median

import results

NAMES = {"tallybox": "tallybox", "gst-launch": "gst-launch-1.0", "ffmpeg": "ffmpeg"}
# The topics that a table has used.
USED = set()


def newest(topic):
    USED.add(topic)
    return results.newest(topic)


def figures(topic):
    return newest(topic)["figures"]


def table(heads, rows):
    lines = ["| " + " | ".join(row) + " |" for row in [heads, *rows]]
    return "\n".join([lines[0], "|" + "---|" * len(heads), *lines[1:]]) + "\n"


def paragraph(words):
    return "\n" + textwrap.fill(words, 118, break_long_words=False, break_on_hyphens=False) + "\n"


def source(*topics):
    """Where the figures come from."""
    text = ""
    for topic in topics:
        run = newest(topic)
        measured = f"{run['measured'][:10]}, commit {run['commit']}: `{run['command']}`."
        text += paragraph(" ".join([measured, *run.get("notes", [])]))
    return text


def passed(good):
    return "pass" if good else "**miss**"


def whole_percent(share):
    return f"{share:.0%}".replace("%", " %")


def percent(share, digits=1):
    return f"{share * 100:.{digits}f} %"


def seconds(value, digits=1):
    return "-" if value is None else f"{value:.{digits}f} s"


def restart_medians():
    rounds = figures("restart")
    spans = rounds | {
        f"all, medians of {sum(map(len, rounds.values()))}": [found for span in rounds.values() for found in span]
    }
    return {label: {name: median(found[name] for found in span) for name in NAMES} for label, span in spans.items()}


def ratio(pair):
    return pair[1] / pair[0] if isinstance(pair, list) else pair
