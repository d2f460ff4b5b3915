"""The one table of all promises: limit, result, and where to read on."""

from figures import figures, passed, percent, ratio, restart_medians, table, whole_percent


def summary():
    """Each promise: its limit, the result, and where to read on."""
    first, part = figures("press")["first-keyframe-s"], figures("press")["from-first-picture-ms"]["tallybox"]["median"]
    first = first["tallybox"]["median"] / first["gst-launch"]["median"]
    sizes = figures("cost")["sizes"].items()
    cpu = {size: round(of["tallybox"]["cpu-s"] / of["gst-launch"]["cpu-s"], 2) for size, of in sizes}
    pss = {size: round(of["tallybox"]["pss-mb"] / of["gst-launch"]["pss-mb"], 2) for size, of in sizes}
    both = lambda of: ", ".join(f"{value:.2f} at {size}" for size, value in of.items())
    added, rest = figures("latency")["added-ms"]["tallybox"]["p95"], figures("idle")
    *_, back = restart_medians().values()
    back = max(back["tallybox"] / back[name] for name in ("gst-launch", "ffmpeg"))
    loss = [run for run in figures("srt-loss")["runs"] if run["sender"] == "tallybox"]
    missing = max(run["expected"] - run["frames"] for run in loss)
    step = {row[1]: row for row in figures("simulation")["rows"] if row[0] == "step 4, 1, 4"}
    ours = [step["tallybox, RTMP"], step["tallybox, SRT"]]
    below, use, again, lost = (
        max(row[2] for row in ours),
        min(row[3] for row in ours),
        max(row[4] for row in ours),
        max(row[5] for row in ours),
    )
    obs, belacoder = step["OBS's rules, RTMP"][2], step["belacoder's rules, SRT"][4]
    sound, air, cycles, cuts = (
        figures("sound")["summary"],
        figures("soak-air"),
        figures("soak-cycles"),
        figures("power-cuts"),
    )
    pulled = figures("unplug").values()
    own = {role: ratio(used["anon"]) for role, used in air["roles"].items()}
    told, returned = max(run["reported-s"] for run in pulled), max(run["back-s"] for run in pulled)
    rows = [
        [
            "first keyframe after a press, against gst-launch",
            "≤ 1.1",
            f"{first:.2f}",
            first <= 1.1,
            "media.md#press-to-first-keyframe",
        ],
        [
            "of it, from the camera's first frame on",
            "≤ 67 ms",
            f"{part:.0f} ms",
            part <= 67,
            "media.md#press-to-first-keyframe",
        ],
        ["added latency, 95th percentile", "≤ 3.3 ms", f"{added:.1f} ms", added <= 3.3, "media.md#added-latency"],
        ["CPU on air, against gst-launch", "≤ 1.02", both(cpu), max(cpu.values()) <= 1.02, "media.md#cpu"],
        ["memory on air (PSS), against gst-launch", "≤ 1.2", both(pss), max(pss.values()) <= 1.2, "media.md#memory"],
        [
            "idle: CPU, resident memory",
            "< 0.5 %, < 25 MB",
            f"≤ {percent(rest['cpu-share'], 2)}, {rest['rss-mb']} MB",
            rest["cpu-share"] < 0.005 and rest["rss-mb"] < 25,
            "media.md#idle",
        ],
        [
            "server restarted: first keyframe, against peers",
            "≤ 0.5",
            f"{back:.2f}",
            back <= 0.5,
            "network.md#server-restart",
        ],
        [
            "SRT, 1 to 10 % loss: overhead",
            "≤ 33 to 17 %",
            f"{percent(min(run['overhead'] for run in loss))} to {percent(max(run['overhead'] for run in loss))}",
            all(run["overhead"] <= run["limit"] for run in loss),
            "network.md#srt-through-loss",
        ],
        [
            "SRT, 1 to 10 % loss: frames missing",
            "0",
            f"{missing} of {max(run['expected'] for run in loss)}",
            missing == 0,
            "network.md#srt-through-loss",
        ],
        [
            "step 4, 1, 4 Mbit/s: below it, against OBS",
            "≤ 0.5",
            f"{below / obs:.2f}",
            below / obs <= 0.5,
            "bitrate.md#simulated-links",
        ],
        ["the same: link used", "≥ 85 %", whole_percent(use), use >= 0.85, "bitrate.md#simulated-links"],
        [
            "the same: back at 90 %, against belacoder",
            "≤ 0.75",
            f"{again / belacoder:.2f}",
            again / belacoder <= 0.75,
            "bitrate.md#simulated-links",
        ],
        ["the same: frames lost", "0", f"{lost} over SRT" if lost else "0", lost == 0, "bitrate.md#simulated-links"],
        [
            "audio and video apart",
            "< 40 ms",
            f"{sound['apart-ms']} ms",
            sound["apart-ms"] < 40,
            "sound.md#audio-and-video-in-step",
        ],
        ["mute to digital silence", "< 100 ms", f"{sound['mute-ms']} ms", sound["mute-ms"] < 100, "sound.md#mute"],
        [
            "40,000 sessions: an end for each start",
            "all",
            f"{cycles['ends']:,}",
            cycles["ends"] == cycles["starts"] >= 40_000,
            "soak.md#start-and-stop",
        ],
        [
            "2 hours on air with faults: frames out/in",
            "≥ 0.999",
            f"{air['frames-out'] / air['frames-in']:.5f}",
            air["frames-out"] / air["frames-in"] >= 0.999,
            "soak.md#on-air-with-faults",
        ],
        [
            "the same: growth of anonymous memory",
            "≤ 1.05",
            f"{max(own.values()):.3f} ({max(own, key=own.get)})",
            max(own.values()) <= 1.05,
            "soak.md#on-air-with-faults",
        ],
        [
            "power cuts: acknowledged entries lost",
            "0",
            f"{cuts['lost']} of {cuts['acknowledged']}",
            cuts["lost"] == 0,
            "soak.md#power-cuts",
        ],
        [
            "unplugged: reported, and back",
            "≤ 2 s each",
            f"{told} s, {returned} s",
            max(told, returned) <= 2,
            "soak.md#unplugging",
        ],
    ]
    return table(
        ["promise", "limit", "result", "", "read on"],
        [
            [promise, limit, result, passed(good), f"[{link.split('.')[0]}]({link})"]
            for promise, limit, result, good, link in rows
        ],
    )
