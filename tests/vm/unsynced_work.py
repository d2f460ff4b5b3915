"""What a box does while its disk is logged: sessions, policies, the platform's configuration, its own, erasures, an
unbinding. Each step says by marks what it begins and what has been acknowledged."""

import json
import threading
import time
from contextlib import contextmanager

from logged_box import ROOT
from netns import HOST
from releases import PORT, TOPIC, stamp
from waiting import wait

ROLES = ["request-start", "unmute", "set-video", "set-policy", "policy", "desired", "erase", "unbind", "release"]
FOOTAGE = "/var/lib/tallybox/footage/unsent"


def set_up(box, pin):
    """Several files of the configuration at once; the key's text names the pin."""
    box.write("/run/stream-key", f"key-{pin}", mode="600")
    box.write("/run/answers.toml", f'mute-pin = {pin}\nstream-key-file = "/run/stream-key"\n')
    box.sh(f"tallybox setup --answers /run/answers.toml --root {ROOT} --config {ROOT}/etc/tallybox/tallybox.toml")
    assert box.sh("cat /etc/tallybox/stream-key") == f"key-{pin}"


class Work:
    """The box at work, and its platform."""

    def __init__(self, box, peers, marks):
        self.box, self.peers, self.marks = box, peers, marks
        self.seq, self.version, self.done = 0, 0, threading.Event()
        self.heard = len(peers.heard)
        self.listener = threading.Thread(target=self.listen, daemon=True)

    @staticmethod
    def trust(key):
        return (
            f'[[trust]]\nkey = "{key.verifier()}"\nmay = {json.dumps(ROLES)}\n'
            f'[update]\nallowed-hosts = ["{HOST}"]\nnotice = "0"\n[trust-thresholds]\nrelease = 1\npolicy = 1\n'
        )

    def begin(self, key):
        self.key = key
        self.listener.start()

    def listen(self):
        """Marks each event as soon as the broker has it."""
        while not self.done.is_set():
            for teller, topic, payload in self.peers.heard[self.heard :]:
                self.heard += 1
                if (teller, topic) == (self.box.id, "event"):
                    self.marks.send("heard", payload["seq"], payload["hash"])
            self.done.wait(0.005)

    def end(self):
        self.done.set()
        self.listener.join()

    def note(self, kind, document):
        text = f"tallybox/{kind}/v1\n{json.dumps(document, separators=(',', ':'))}\n"
        return text + "\n" + self.key.line(text)

    def command(self, verb, **fields):
        """Sends a signed command, and returns its last answer."""
        self.seq += 1
        status = self.box.status()
        number = f"{verb}-{self.seq}-{time.monotonic_ns()}"
        command = {
            "box": self.box.id,
            "verb": verb,
            "id": number,
            "epoch": status["epoch"],
            "seq": time.time_ns() // 1000,
            "deadline-s": status["uptime-s"] + 200,
            **fields,
        }
        self.peers.publish(f"tallybox/v1/{self.box.id}/cmd/{verb}", "-s", input=self.note("command", command).encode())
        final = lambda: next(
            (
                reply
                for reply in self.peers.said("reply", self.box.id)
                if reply.get("id") == number and not reply.get("progress")
            ),
            None,
        )
        reply = wait(f"an answer to {verb}", final, 90)
        assert reply["ok"], reply
        return reply

    def press(self, hold=None, mute=False):
        self.box.sh(f"tallybox press {f'--hold {hold}' if hold else ''} {'--mute' if mute else ''}")

    def connected(self):
        """The broker has a box that says so itself."""
        wait("the agent is connected", lambda: self.peers.said("availability", self.box.id)[-1:] == ["online"], 120)

    @contextmanager
    def stopped(self):
        """Guard and agent end in order, and start anew afterwards."""
        self.box.stop()
        wait("the agent has left", lambda: self.peers.said("availability", self.box.id)[-1:] != ["online"], 60)
        yield
        self.box.start()

    def all_heard(self):
        """The broker has the whole ledger."""
        newest = self.box.ledger()[-1]["hash"]
        wait(
            "the broker has heard all",
            lambda: any(event["hash"] == newest for event in self.peers.events(self.box.id)),
            60,
        )

    def session(self):
        """As far as it goes while the machine is busy: what is kept is how it begins and ends."""
        self.press()
        wait("it has begun", lambda: self.box.phase() in ("connecting", "live"), 60)
        self.press(mute=True)
        self.press()
        self.box.until("idle", 90)

    def policy(self):
        self.version += 1
        version = f"2031-01-{self.version:02}"
        self.marks.note("attempt", "policy", version)
        self.command(
            "set-policy", note=self.note("policy", {"version": version, "material": True, "reasons": ["contacts"]})
        )
        self.marks.send("done", "policy", version)
        self.box.until("policy")
        self.press(hold=2.4)
        self.box.until("idle")

    def desired(self):
        self.version += 1
        rate = 500 + self.version
        self.marks.note("attempt", "bitrate", rate)
        note = self.note(
            "desired", {"box": self.box.id, "version": self.version, "values": {"video.bitrate-kbps": rate}}
        )
        self.peers.publish(f"tallybox/v1/{self.box.id}/config/desired", "-r", "-s", input=note.encode())
        reported = lambda: next(
            (one for one in self.peers.said("config/reported", self.box.id) if one.get("for-version") == self.version),
            None,
        )
        report = wait("it is reported", reported, 60)
        assert report["keys"]["video.bitrate-kbps"] == {"value": rate, "code": "ok"}, report
        self.marks.send("done", "bitrate", rate)

    def lock(self):
        self.press(hold=5.4)
        self.box.until("locked")
        self.press(hold=2.4)
        self.box.until("idle")

    def configuration(self):
        """As a USB stick does: one file, then guard and agent begin anew."""
        self.version += 1
        rate = 5 + self.version
        self.box.write("/run/brought.toml", f"[video]\nfps = {rate}\n")
        with self.stopped():
            self.marks.note("attempt", "fps", rate)
            self.box.sh("tallybox take-config /run/brought.toml")
            self.marks.send("done", "fps", rate)
        self.box.until("idle", 90)
        self.connected()

    def setup(self):
        """Several files at once, a secret among them: the key's text and the number of a pin belong together."""
        self.version += 1
        pin = 30 + self.version
        with self.stopped():
            self.marks.note("attempt", "setup", pin)
            set_up(self.box, pin)
            self.marks.send("done", "setup", pin)
        self.box.until("idle", 90)
        self.connected()

    def erase(self):
        # Before there is anything to erase: what the erasure before this one deleted comes back here.
        self.marks.note("attempt", "footage", False)
        # On disk before: what the test writes is not what is tried.
        self.box.sh(f"head -c 20000 /dev/urandom >{FOOTAGE}; sync -f {FOOTAGE}")
        reply = self.command("erase", reason="consent-withdrawn")
        assert reply.get("receipt"), reply
        self.marks.send("done", "footage", False)

    def release(self):
        """One that is older than what is installed: told, kept, and not installed."""
        self.version += 1
        file = {"url": f"https://{HOST}:{PORT}/none.deb", "size": 1, "sha256": "0" * 64}
        document = {
            "version": f"0.0.{self.version}",
            "serial": time.time_ns() // 1_000_000,
            "channel": "stable",
            "files": {"amd64": file},
            "not-after": stamp(86400),
            "wave": {"start": stamp(-60), "stages": [{"permille": 1000}]},
            "security": True,
        }
        self.marks.note("attempt", "release", True)
        self.peers.publish(TOPIC, "-r", "-s", role="releases", input=self.note("release", document).encode())
        told = lambda: any(
            event["fact"].get("serial") == document["serial"] for event in self.peers.events(self.box.id)
        )
        wait("the release is known", told, 60)
        self.marks.send("done", "release", True)

    def unbind(self):
        """By the button; returns bytes of the key that is destroyed."""
        key = self.box.sh("sed -n '/BEGIN PRIVATE/{n;p}' /var/lib/tallybox/credentials/identity")
        assert len(key) > 40, key
        former = self.box.status()["identity"]["verifier-key"]
        self.marks.note("attempt", "binding", former)
        self.press(hold=10.5)
        wait("it is unbound", lambda: self.box.status().get("unbound"), 60)
        told = lambda: any(event["fact"]["kind"] == "unbound" for event in self.peers.events(self.box.id)[-20:])
        wait("the broker has heard of it", told, 90)
        self.marks.note("done", "binding", former)
        return key.encode()

    def claim(self):
        """The next shop's key and configuration, by the test's own hand."""
        self.marks.note("attempt", "claim", True)
        with self.stopped():
            self.box.identify()
            # Whole or not there: what the test writes is not what is tried.
            self.box.sh("cd /etc/tallybox; mkdir -p conf.d; echo '# another shop' >claimed; sync claimed")
            self.box.sh("cd /etc/tallybox; mv claimed conf.d/70-claimed.toml; sync -f .")
        phase = wait("it is bound", lambda: (seen := self.box.phase()) in ("idle", "policy") and seen, 90)
        if phase == "policy":
            self.press(hold=2.4)
        self.box.until("idle", 90)
        self.connected()
