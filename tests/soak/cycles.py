"""Start and stop, again and again: each cycle is a press that starts a capture process of its own, and its end."""
import os
import random
import signal
import time

from appliance import Box, Servers, compare

# How a cycle goes, and how often of a hundred. After capture is up it has up to SPAN seconds, mostly fewer: plugins are
# loaded, the pipeline is built, the encoder started, the server sought.
KINDS = {"touched": 86, "on air": 10, "stopped from afar": 2, "killed": 2}
SPAN = 0.08
# Samples are medians of this many, one after the other; and so are what they are compared with.
GROUP = 5


def settle(box, limit=30):
    """Until the broker has had everything: an outbox that is behind is memory in use."""
    before = None

    def quiet():
        nonlocal before
        now = box.use()
        same, before = before is not None and now == before, now
        time.sleep(0.1)
        return same

    end = time.monotonic() + limit
    while not quiet() and time.monotonic() < end:
        pass


def cycle(box, kind, linger):
    """One start and stop; the session's number, and how many touches it took."""
    box.control.phase("idle")
    touches, up = 0, None
    while not up:
        touches += box.touch()
        # A touch that was felt late is a session that the next one stopped: then once more.
        with box.control.changed:
            box.control.wait(lambda: box.control.status.get("capture-pid") or box.control.status.get("phase") == "idle", 30)
            up = box.control.status if box.control.status.get("capture-pid") else None
        if touches > 20:
            raise SystemExit("soak: no capture comes")
    if kind == "on air":
        box.control.phase("live")
    time.sleep(linger)
    if kind == "stopped from afar":
        box.control.call({"ask": "stop"})
    elif kind == "killed":
        try:
            os.kill(up["capture-pid"], signal.SIGKILL)
        except ProcessLookupError:
            pass
    else:
        box.stop()
    box.control.phase("idle")
    if os.path.exists(f"/proc/{up['capture-pid']}"):
        raise SystemExit(f"soak: session {up['session']} is over, and its capture {up['capture-pid']} is there")
    return up["session"], touches


def run(program, home, cycles, seconds, seed, base, note):
    """Runs `cycles`, or fewer when `seconds` are over; the table's rows, and what was counted. The rows are the end
    against the value after `base` cycles."""
    servers = Servers(home, record=False)
    box = Box(program, home, f"rtmp://127.0.0.1:{servers.rtmp}/live/soak", f"mqtt://127.0.0.1:{servers.mqtt}", debounce=1)
    rng, samples, sessions = random.Random(seed), [], set()
    kinds, weights = zip(*KINDS.items())
    counts, spent = dict.fromkeys(kinds, 0), dict.fromkeys(kinds, 0.0)
    begun = time.monotonic()
    # At the base and at the end GROUP samples, so many cycles apart; between them one now and then.
    step = max(base // 10, 1)
    number, last, missed = 0, cycles, 0
    # Asked to rest (^Z) it does so on an idle box.
    rest = []
    signal.signal(signal.SIGTSTP, lambda *_: rest.append(True))
    while number < last:
        number += 1
        if rest:
            rest.clear()
            os.kill(os.getpid(), signal.SIGSTOP)
        if time.monotonic() - begun > seconds and last == cycles:
            last = min(max(number, base + step * GROUP) + step * GROUP, cycles)
        kind = rng.choices(kinds, weights)[0]
        counts[kind] += 1
        at = time.monotonic()
        session, touches = cycle(box, kind, SPAN * rng.random() ** 2)
        sessions.add(session)
        missed += touches - 1
        spent[kind] += time.monotonic() - at
        at_base, at_end = base <= number < base + step * GROUP, number > last - step * GROUP
        if (number - base) % step == 0 and at_base or (last - number) % step == 0 and at_end or number % max(500, step) == 0:
            settle(box)
            samples.append({"cycle": number, "seconds": round(time.monotonic() - begun, 1), "use": box.use()})
            note(samples[-1])
    took = time.monotonic() - begun
    verified = box.call("ledger", "verify")
    facts = box.call("ledger", "export").stdout
    started, ended = facts.count('"session-started"'), facts.count('"session-stopped"') + facts.count('"session-cut"')
    box.end()
    servers.end()
    if verified.returncode or started != ended or not number == len(sessions) <= started <= number + missed:
        raise SystemExit(f"soak: {number} cycles, {len(sessions)} sessions, {started} starts and {ended} ends in the ledger: {verified.stderr}")
    rows = compare([s for s in samples if base <= s["cycle"] < base + step * GROUP], samples[-GROUP:], ("guard", "agent"))
    said = ", ".join(f"{count} {kind} ({spent[kind] / max(count, 1) * 1000:.0f} ms each)" for kind, count in counts.items())
    print(f"cycles: {number} in {took:.0f} s: {said}; {started} starts and as many ends in the ledger, which verifies; {missed} touches not felt, and made again")
    each = {kind.replace(" ", "-"): {"cycles": count, "ms-each": round(spent[kind] / max(count, 1) * 1000)}
            for kind, count in counts.items()}
    return rows, {"cycles": number, "seconds": round(took), "after-cycles": base, "kinds": each, "starts": started,
                  "ends": ended}
