"""Minutes of whatever may happen, in any order: fingers, the platform, a policy, roles that die, a network that goes.
The observer judges."""
import os
import random
import time
from contextlib import contextmanager, nullcontext

from observer import Observer, blind_spots
from scenario import scenario
from waiting import wait

SECONDS = int(os.environ.get("TALLYBOX_SEQUENCE_SECONDS") or (60 if os.environ.get("TALLYBOX_SHORT") else 600))


class Sequence:
    """One box, and what is done to it."""

    def __init__(self, box, peers, seed):
        self.box, self.peers, self.dice = box, peers, random.Random(seed)
        self.policies, self.killed, self.counts, self.version = [], [], {}, 0

    def now(self):
        """The hand's own milliseconds."""
        return self.box.hand.clock()

    def touch(self, *lengths):
        low, high = self.dice.choice(lengths)
        length = self.dice.randrange(low, high)
        self.box.hand.do(f"button {length}")
        # Mostly the touch ends before anything else is done.
        if self.dice.random() < 0.8:
            time.sleep(length / 1000 + 0.2)

    def any_touch(self):
        self.touch((60, 200), (60, 600), (800, 2500), (3200, 4600), (2200, 2900))

    def short_touch(self):
        self.touch((60, 500))

    def lock(self):
        self.touch((5300, 7000))

    def mute(self):
        self.box.hand.do("mute 150")

    def command(self):
        verb = self.dice.choice(["stop", "mute", "unmute", "request-start", "start", "live", "identify"])
        reply = self.peers.command(verb)
        if verb == "stop" and reply.get("ok"):
            nodes = self.box.devices_open()
            # A press may have come since.
            assert not nodes or self.box.hand.now("capture"), f"a stop was acknowledged, and {nodes} are open"

    def kill(self, role):
        with self.guard_goes() if role == "guard" else nullcontext():
            self.box.sh(f"kill -9 $(systemctl show -P MainPID tallybox-{role})", check=False)
            wait(f"systemd restarts the {role}", lambda: self.box.ok(f"systemctl is-active tallybox-{role}"), 60, 0.2)

    @contextmanager
    def guard_goes(self):
        """The guard ends and comes back meanwhile: when, by the eyes."""
        mark, old = self.box.hand.mark(), self.box.hand.now("guard")
        yield
        wait("the guard answers", self.box.phase, 60, 0.2)
        gone = self.box.hand.first(mark, "guard", lambda pids: old not in pids.split(","))
        new = self.box.sh("systemctl show -P MainPID tallybox-guard").strip()
        back = self.box.hand.first(mark, "guard", lambda pids: new in pids.split(","))
        self.killed.append((gone, back, self.now()))

    def kill_guard(self):
        self.kill("guard")

    def kill_agent(self):
        self.kill("agent")

    def kill_capture(self):
        if pids := self.box.hand.now("capture"):
            self.box.sh(f"kill -9 {pids.replace(',', ' ')}", check=False)

    def lose_network(self):
        self.peers.stop("nginx")
        time.sleep(self.dice.uniform(0.5, 4))
        self.peers.start("nginx")

    def change_policy(self):
        # A touch that is under way at the restart is nobody's answer.
        time.sleep(3)
        self.version += 1
        with self.guard_goes():
            self.box.configure(consent={"policy-version": f"2030-01-{self.version:02}"})
        # What a touch says from then on, the next guard hears, who has to ask.
        self.policies.append(self.killed[-1][0])

    def quiet_network(self):
        """Nothing goes to the ingest while nothing captures."""
        looked = self.box.sh("cat /proc/uptime; ss -Htn state established dst 10.78.0.1:1935; cat /proc/uptime").splitlines()
        before, after = (float(line.split()[0]) * 1000 - Observer(self.box.hand.seen).uptime for line in (looked[0], looked[-1]))
        # The eyes may notice the process late, on a machine that is busy with it, and their lines come later still.
        # What nothing has ended goes on: a steady session changes nothing for minutes.
        seen = lambda: Observer([*self.box.hand.seen, (self.now(), "now", "")])
        near = lambda: any(begin - 2000 < after and end + 500 > before for begin, end, _ in seen().sessions)
        if looked[1:-1]:
            wait(f"connected to the ingest without capture: {looked[1:-1]}", near, 5)

    def run(self, seconds):
        weights = {self.any_touch: 8, self.short_touch: 10, self.lock: 1, self.mute: 2, self.command: 4, self.kill_guard: 1, self.kill_agent: 0.5,
                   self.kill_capture: 1, self.lose_network: 1, self.change_policy: 0.5, self.quiet_network: 3}
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            step = self.dice.choices(list(weights), weights.values())[0]
            step()
            self.counts[step.__name__] = self.counts.get(step.__name__, 0) + 1
            # Mostly long enough for a picture, sometimes no time at all.
            time.sleep(self.dice.choice([0, 0.3, 1, 2, 5]))


@scenario(f"{SECONDS} s of random touches, commands, policies and deaths: an observer finds no breach of the rules")
def sequences(box, peers):
    seed = int(os.environ.get("TALLYBOX_SEED") or time.time())
    box.idle()
    wait("the agent is connected", lambda: box.sh("systemctl show -P StatusText tallybox-agent").startswith("connected"), 90)
    # A real chip keeps an output's level when its owner dies.
    box.sh("echo pull-up >/run/rig/lamp/pull")
    begun, mark, sequence = len(box.ledger()), box.hand.mark(), Sequence(box, peers, seed)
    try:
        # One session long enough for the observer's own test.
        box.live()
        time.sleep(6)
        sequence.quiet_network()
        box.touch()
        sequence.run(SECONDS)
        box.hand.do("button up")
        time.sleep(1)
        if box.hand.now("capture"):
            box.hand.press()
        wait("nothing captures", lambda: box.hand.now("capture") == "", 60)
        seen, ledger = list(box.hand.seen), box.ledger()[begun:]
        begin = next(one for one in seen if one[1] == "uptime")
        trace = [begin, *[one for one in (levels(seen[:mark]) + seen[mark:])]]
    finally:
        box.sh("echo pull-down >/run/rig/lamp/pull")
        box.configure()
    observer = Observer(trace)
    found = observer.violations(ledger, sequence.policies, sequence.killed)
    if found:
        print("\n".join(" ".join(map(str, one)) for one in trace), f"policies {sequence.policies}, killed {sequence.killed}", sep="\n")
    assert not found, f"seed {seed}: {len(found)} violations: {found[:4]}"
    missed = blind_spots(trace, ledger, sequence.policies, sequence.killed)
    assert not missed, f"seed {seed}: the observer is blind to: {missed}"
    done = ", ".join(f"{count} {name}" for name, count in sorted(sequence.counts.items()))
    return f"seed {seed}: 0 violations in {len(observer.sessions)} sessions; capture gone at most {observer.slowest_stop()} ms after a touch; {done}; the observer notices each of 9 breaches"


def levels(seen):
    """What each thing was last, as if it had become so at that moment."""
    last = {name: (at, name, value) for at, name, value in seen if name != "uptime"}
    return sorted(last.values())
