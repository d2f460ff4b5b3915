"""The box in the machine: how it is installed and configured, and what is asked of it."""
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from machine import Hand, Machine
from waiting import wait
from netns import HOST

HERE = Path(__file__).resolve().parent
REPO = HERE.parent.parent

DEFAULTS = {
    "device": {"id": "vm-box"},
    "panel": {"backend": "cdev", "mute-pin": 23},
    # Small pictures: one emulated processor does all of it.
    "video": {"source": "v4l2", "device": "/dev/shopcam", "width": 640, "height": 360, "fps": 15, "bitrate-kbps": 800},
    "audio": {"source": "alsa", "device": "plughw:CARD=Loopback,DEV=1"},
    "ingest": {"url": "rtmp://10.78.0.1/live/${STREAM_KEY}"},
    "mqtt": {"url": "mqtts://peers:8883", "ca-file": "/etc/tallybox/ca.pem", "client-cert": "/etc/tallybox/client.pem", "client-key": "${MQTT_KEY}"},
    "privacy": {"allowed-ingest-hosts": ["10.78.0.1"]},
}
# The codec test driver takes the first video nodes: the camera is found by its name.
CAMERA_RULE = 'SUBSYSTEM=="video4linux", ATTR{name}=="vivid-000-vid-cap", SYMLINK+="shopcam"\n'
HARDWARE_UNIT = """[Unit]
Description=buttons and lamp for tests
Before=tallybox-guard.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/rig/hardware {kind}
[Install]
WantedBy=multi-user.target
"""
KEY = "[Service]\nSetCredential=STREAM_KEY:the-shops-key\n"
MQTT_KEY = "[Service]\nLoadCredential=MQTT_KEY:/etc/tallybox/client.key\n"
# Those of guest-files that are C.
PROGRAMS = ("registers", "connect", "opened", "synchronised", "logged_disk", "attack")


def last_line(*command):
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, text=True, check=True, stdin=subprocess.DEVNULL)
    return done.stdout.strip().splitlines()[-1]


def unit_tests():
    """The program with the library's own tests, as `make test` builds it; some of them run in the guest."""
    built = subprocess.run(["cargo", "test", "--features", "demo", "--lib", "--no-run", "--message-format=json"], cwd=REPO, stdout=subprocess.PIPE,
                           text=True, check=True, stdin=subprocess.DEVNULL,
                           env={"CARGO_TARGET_DIR": str(Path.home() / ".cache/tallybox/target"), **os.environ}).stdout
    made = [json.loads(line) for line in built.splitlines()]
    return next(one["executable"] for one in made if one.get("executable") and one["profile"]["test"])


def prepare(deb=None):
    """What is made once: kernel, guest, package, tests. Needs the machine's own network; the paths go into the
    environment, and what is there already is taken from it."""
    if deb:
        os.environ["TALLYBOX_DEB"] = deb
    machine = {"KERNEL": lambda: last_line(HERE / "kernel"), "IMAGE": lambda: last_line(HERE / "guest")}
    programs = {"DEB": lambda: last_line(REPO / "scripts/deb"), "TESTS": unit_tests}
    make = lambda made: {f"TALLYBOX_{name}": os.environ.get(f"TALLYBOX_{name}") or str(one()) for name, one in made.items()}
    # All that both need, before they run side by side: much of each keeps one processor busy.
    subprocess.run([REPO / "scripts/setup", "vm"], check=True, stdout=sys.stderr)
    with ThreadPoolExecutor() as pool:
        paths = {name: path for made in pool.map(make, (machine, programs)) for name, path in made.items()}
    os.environ.update(paths, TALLYBOX_KEY=str(Path(paths["TALLYBOX_IMAGE"]).parent / "key"))
    return paths


def tools(work):
    """Compiles what runs in the guest beside the box."""
    for name in PROGRAMS:
        subprocess.run(["cc", "-O2", "-static", "-o", work / name, HERE / f"guest-files/{name}.c"], check=True)
    library = ["cc", "-O2", "-shared", "-fPIC", "-o", work / "unsynced.so", HERE / "guest-files/unsynced.c"]
    subprocess.run(library, check=True)
    subprocess.run(["rustc", "-O", "--edition", "2024", "-C", "target-feature=+crt-static", "-o", work / "hand", HERE / "guest-files/hand.rs"], check=True)


class Box(Machine):
    """A machine with tallybox on it."""

    def __init__(self, work, disk=None, seat=0):
        super().__init__(work, *(os.environ[f"TALLYBOX_{name}"] for name in ("IMAGE", "KERNEL", "KEY")), disk=disk, seat=seat)
        self.eyes, self.origin = None, disk
        # What makes a box at another seat another box, for the broker and the ingest.
        self.id = "vm-box" if seat == 0 else f"vm-box-{seat}"
        self.own = {} if seat == 0 else {"device": {"id": self.id}, "ingest": {"url": f"rtmp://{HOST}/live/{self.id}"}}

    def sibling(self, seat):
        """Another box that is on at the same time, with the disk that this one began with."""
        other = Box(self.work.parent, self.origin, seat)
        other.boot()
        other.identify()
        other.configure()
        other.until("idle")
        return other

    @property
    def hand(self):
        if self.eyes is None:
            self.eyes = Hand(self)
        return self.eyes

    def forget(self):
        if self.eyes:
            self.eyes.close()
            self.eyes = None
        super().forget()

    def fit(self, kind="plain"):
        """Puts the test's hardware and tools into a bare guest."""
        self.sh("mkdir -p /rig; getent group gpio >/dev/null || groupadd --system gpio")
        rig = self.work.parent
        self.copy("/rig/", HERE / "guest-files/hardware", *(rig / name for name in (*PROGRAMS, "unsynced.so", "hand")))
        self.write("/etc/udev/rules.d/90-rig.rules", CAMERA_RULE)
        self.write("/etc/systemd/system/rig-hardware.service", HARDWARE_UNIT.format(kind=kind))
        self.sh("udevadm control --reload; udevadm trigger; udevadm settle; systemctl -q enable --now rig-hardware; ls /dev/shopcam")

    def install(self, deb):
        """Installs the package as an integrator would: apt, one file, secrets."""
        self.write("/etc/systemd/system/tallybox-capture@.service.d/key.conf", KEY)
        self.write("/etc/systemd/system/tallybox-agent.service.d/key.conf", MQTT_KEY)
        self.identify()
        self.copy("/rig/tallybox.deb", deb)
        self.sh("DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends /rig/tallybox.deb 2>&1", timeout=300)
        self.configure()

    def identify(self):
        """Gives it the certificate that it shows the broker."""
        certificates = self.work.parent / "certs"
        for source, target, mode in (("ca.pem", "ca.pem", "644"), (f"{self.id}.pem", "client.pem", "644"), (f"{self.id}.key", "client.key", "600")):
            self.write(f"/etc/tallybox/{target}", (certificates / source).read_text(), mode)

    def configure(self, **changes):
        """Writes the configuration, the defaults above with these changes, and starts the box anew with it."""
        sections = {name: {**DEFAULTS.get(name, {}), **self.own.get(name, {}), **changes.get(name, {})} for name in {**DEFAULTS, **changes}}
        text = ""
        for name, values in sections.items():
            text += f"[{name}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items() if value is not None)
        self.write("/etc/tallybox/tallybox.toml", text)
        self.sh("tallybox check-config /etc/tallybox/tallybox.toml; systemctl restart tallybox-guard tallybox-agent")

    def status(self):
        done = self.run("tallybox status --json", check=False)
        return json.loads(done.stdout) if done.returncode == 0 else {}

    def phase(self):
        return self.status().get("phase")

    def until(self, phase, limit=60):
        status = {}

        def there():
            status.update(self.status())
            return status.get("phase") == phase
        try:
            wait(phase, there, limit, 0.1)
        except AssertionError:
            raise AssertionError(f"phase {phase} did not come in {limit} s: {status}; {self.log()}") from None
        return status

    def log(self, lines=12):
        return self.sh(f"journalctl -b --no-pager -n {lines} -o cat -t tallybox-guard -t tallybox-capture -t tallybox-agent", check=False)

    def devices_open(self):
        """Cameras and microphones that any process of the guest has open, from /proc."""
        found = self.sh("find /proc/[0-9]*/fd -type l \\( -lname '/dev/video*' -o -lname '/dev/media*' -o -lname '/dev/snd/pcm*c' \\) -printf '%p %l\\n' 2>/dev/null; echo looked").splitlines()
        # Processes come and go while find looks, so its exit code says nothing; that it was there to look does.
        assert found[-1:] == ["looked"], found
        return found[:-1]

    def dark(self, limit=20):
        """Waits until nothing captures and the lamp is dark, and stays it for as long as no other pattern would."""
        def is_dark():
            hand = self.hand
            last = [at for at, name, _ in hand.seen if name == "lamp"][-1:]
            return hand.now("capture") == "" and hand.now("lamp") == "0" and last
        wait("capture is gone and the lamp dark", is_dark, limit)
        assert not (rhythm := self.hand.rhythm(2.2)), f"the lamp is not dark but blinks: {rhythm}"
        assert not (nodes := self.devices_open()), nodes

    def idle(self):
        """Whatever the scenario before left: no capture, no lock."""
        phase = wait("the guard answers", self.phase, 60, 0.2)
        if phase in ("connecting", "live", "reconnecting"):
            self.hand.press()
            self.until("idle")
        elif phase in ("locked", "policy"):
            self.agree(phase)
        # A request that nobody answers ends by itself, and what was broken is tried again.
        self.until("idle", 90)

    def agree(self, phase):
        """Unlocks, or acknowledges. A guard that has only come up does not count a button that it finds down."""
        for attempt in range(3):
            self.hand.hold(2.3)
            try:
                return self.until("idle", 15)
            except AssertionError:
                if attempt == 2 or self.phase() != phase:
                    raise

    def live(self):
        """From idle on air, by a press."""
        self.idle()
        mark = self.hand.mark()
        self.hand.press()
        self.until("live")
        return mark

    def touch(self):
        """A touch; how many milliseconds from the button going down to capture's process being gone."""
        hand, mark = self.hand, self.hand.mark()
        hand.press()
        down = hand.first(mark, "button", lambda level: level == "0")
        gone = hand.first(mark, "capture", lambda pids: pids == "", after=down)
        self.until("idle")
        return gone - down

    def ledger(self):
        return [json.loads(line) for line in self.sh("tallybox ledger export").splitlines()]

    def facts(self):
        return [entry["fact"] for entry in self.ledger()]
