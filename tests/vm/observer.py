"""The consent contract (docs/consent.md), judged by one who believes nobody: from the lines of button and lamp, the
kernel's list of capture processes, the devices that /proc shows as open, and the network. The box's own word, its
ledger, is judged too."""

# Milliseconds. Rule 4 has 500 and the debounce 30: the scenario of a single press holds a box to that. Here touches
# come while a process is only starting, which takes an emulated machine on a busy host 2 s: this finds touches that
# stop nothing, and the lamp is judged meanwhile.
STOPPED = 3000
# Longer than this dark is no pattern that says "capturing" (the longest has 750 ms), and an observer on a busy machine
# sees less than there is; a lease that nobody renews ends capture after 2 s.
LONGEST_DARK = 2100
# Longer than this lit is no pattern that says "not capturing" (the longest has 1 s).
LONGEST_LIT = 1600
# From letting go to the capture process, at the longest.
STARTS = 15_000
# How far a length may be off by what the eyes see.
OFF = 60
# What happens within this time is seen in either order: the eyes look at one thing after the other.
AT_ONCE = 250


def spans(seen, what, off):
    """When `what` was something else than `off`: (from, to, values), in milliseconds."""
    found, since, values = [], None, set()
    for at, name, value in seen:
        if name != what:
            continue
        if since is not None and value == off:
            found.append((since, at, values))
            since, values = None, set()
        elif value != off:
            since = at if since is None else since
            values.add(value)
    if since is not None:
        found.append((since, seen[-1][0], values))
    return found


def outside(span, others, around):
    """The longest part of `span` that is in none of `others`, each of which is longer by `around` on both sides."""
    begin, end = span[:2]
    longest, at = 0, begin
    for since, until, *_ in others:
        if until + around > at and since - around < end:
            longest = max(longest, since - around - at)
            at = max(at, until + around)
    return max(longest, end - at)


class Observer:
    """What was seen, and what was done that no eye on the box can see."""

    def __init__(self, seen):
        self.seen = list(seen)
        self.uptime = next(int(value) for _, name, value in self.seen if name == "uptime")
        self.sessions = spans(self.seen, "capture", "")
        self.open = spans(self.seen, "open", "")
        self.touches = spans(self.seen, "button", "1")
        self.lit = spans(self.seen, "lamp", "0")

    def presses(self, policies, killed):
        """Touches that may start a session, with whether they may bring sound: rules 1, 5, 7, 8, 9, 10."""
        locked = unbound = asked = False
        asks = sorted(policies)
        allowed = []
        for begin, end, _ in self.touches:
            held = end - begin
            while asks and asks[0] < begin:
                asks.pop(0)
                asked = True
            # There was no guard at its end, or at its beginning: nothing comes of it.
            is_unheard = any(gone + OFF < end and begin < back - OFF for gone, back, _ in killed)
            # A guard that ends or only begins may hear it or not: neither is held against the box.
            is_doubtful = any(gone - AT_ONCE <= end and begin <= until for gone, _, until in killed)
            stops = any(since - OFF < begin < until - AT_ONCE for since, until, _ in self.sessions)
            if not (stops or is_unheard or locked or asked or unbound) and held < 3000 + OFF:
                allowed.append((begin, end, held < 700 + OFF))
            if is_doubtful:
                # What it may have unlocked or agreed to.
                if held >= 2000 - OFF:
                    locked = asked = False
                continue
            if held >= 10_000 + OFF:
                unbound = True
            if held >= 5000 - OFF:
                # A touch near the edge may or may not have locked it: neither is held against the box.
                locked = held >= 5000 + OFF or locked
            elif held >= 2000 - OFF:
                locked = asked = False
        return allowed

    def violations(self, ledger, policies=(), killed=()):
        """What broke a rule, in words. `policies`: when staff had to be asked; `killed`: when a guard was gone, when
        the next one came up, and when that was known to answer."""
        found, presses = [], self.presses(policies, killed)
        for begin, end, _ in self.sessions:
            press = next((press for press in reversed(presses) if press[1] <= begin + OFF and begin - press[1] < STARTS), None)
            if press is None:
                near = [one[:2] for one in (*self.touches, *self.sessions) if begin - 20_000 < one[1] and one[0] < begin + 1000]
                found.append(f"rule 1: capture from {begin} to {end} ms without a press; touches and sessions {near}, guard away {killed}")
                continue
            presses.remove(press)
            heard = [values for since, until, values in self.open if since < end and until > begin]
            if not press[2] and any("/dev/snd" in value for values in heard for value in values):
                found.append(f"rule 8: a microphone at {begin} ms, in a session without sound")
        for begin, end, _ in self.open:
            if not any(since <= begin + OFF and end <= until + OFF for since, until, _ in self.sessions):
                found.append(f"rule 1: a device was open from {begin} to {end} ms without capture")
            if not any(since <= begin <= until + 1000 for since, until, _ in self.lit):
                found.append(f"rule 3: a device was opened at {begin} ms, and the lamp was dark")
            if (dark := self.longest_dark(begin, end)) > LONGEST_DARK:
                found.append(f"rule 3: the lamp was dark for {dark} ms while a device was open ({begin} to {end} ms)")
        for span in self.lit:
            # What the lamp shows while the guard is dead is what it showed before.
            dead = [*self.sessions, *((gone, until, None) for gone, _, until in killed)]
            if (lies := outside(span, sorted(dead, key=lambda one: one[0]), 800)) > LONGEST_LIT:
                found.append(f"rule 3: the lamp was lit for {lies} ms without capture ({span[0]} to {span[1]} ms)")
        for down, _, _ in self.touches:
            for begin, end, _ in self.sessions:
                if begin < down < end - STOPPED and not any(gone <= end and until >= down for gone, _, until in killed):
                    found.append(f"rule 4: capture went on for {end - down} ms after the touch at {down} ms")
        return found + self.disagreements(ledger)

    def slowest_stop(self):
        """From a touch to the end of capture, at the longest."""
        return max((end - down for down, _, _ in self.touches for begin, end, _ in self.sessions if begin < down < end), default=0)

    def longest_dark(self, begin, end):
        dark, at = 0, begin
        for since, until, _ in self.lit:
            if until > begin and since < end:
                dark, at = max(dark, since - at), max(at, until)
        return max(dark, end - at)

    def disagreements(self, ledger):
        """Rule 6: what the ledger says about sessions, against the devices that were open."""
        sessions, since = [], None
        for entry in ledger:
            kind, at = entry["fact"]["kind"], entry["monotonic-ms"] - self.uptime
            if kind == "session-started":
                since = at
            elif kind in ("session-stopped", "session-cut") and since is not None:
                sessions.append((since, at))
                since = None
        if since is not None:
            sessions.append((since, self.seen[-1][0]))
        # The machine's uptime has hundredths of a second.
        return [f"rule 6: the ledger has no session around the devices that were open from {begin} to {end} ms" for begin, end, _ in self.open
                if not any(start <= begin + 20 and end <= stop + 20 + OFF for start, stop in sessions)]


def blind_spots(seen, ledger, policies, killed):
    """Each rule is broken once in a copy of what was seen; which breach is not noticed."""
    real = Observer(seen)
    session = next((one for one in real.sessions for device in real.open if one[0] <= device[0] <= one[1] and device[1] - device[0] > 4000), None)
    assert session, "no session was long enough to break its rules"
    begin, end = session[:2]
    device = next(one for one in real.open if begin <= one[0] <= end)
    last = seen[-1][0]

    def told(events=(), without=lambda *_: False):
        return sorted([one for one in seen if not without(*one)] + list(events), key=lambda one: one[0])

    during = lambda at: begin - 3000 <= at <= end
    breaches = {
        "capture without a press": told([(last + 20_000, "capture", "9"), (last + 20_500, "capture", "")]),
        "a device without capture": told([(last + 20_000, "open", "/dev/video0"), (last + 20_500, "open", "")]),
        "a touch that stops nothing": told([(begin + 1500, "button", "0"), (begin + 1600, "button", "1")]),
        "a press that was held too long": told([(device[0] - 6000, "button", "0")], lambda at, name, _: name == "button" and during(at + 3000) and at < begin),
        "a dark lamp": told([(begin - 1500, "lamp", "0")], lambda at, name, _: name == "lamp" and during(at)),
        "a lit lamp": told([(last + 20_000, "lamp", "1"), (last + 23_000, "lamp", "0")]),
    }
    missed = [name for name, trace in breaches.items() if not Observer(trace).violations(ledger, policies, killed)]
    for name, entries in {"a session that the ledger has not": [], "entries that came too late": [{**entry, "monotonic-ms": entry["monotonic-ms"] + 3000} for entry in ledger]}.items():
        if not real.violations(entries, policies, killed):
            missed.append(name)
    if not real.violations(ledger, [begin - 4000], killed):
        missed.append("a session although a policy waited")
    return missed
