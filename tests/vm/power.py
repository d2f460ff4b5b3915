"""Power, clock and disk: the plug is pulled at random moments, the clock is wrong, the disk is full or read-only."""
import json
import os
import random
import time
from concurrent.futures import ThreadPoolExecutor

from waiting import wait
from servers import PLAIN
from scenario import scenario


@scenario("no clock at boot: 1970; asks are refused, a stop is taken, the button works")
def no_clock(box, peers):
    box.idle()
    box.write("/etc/systemd/system/rig-clock.service", "[Unit]\nBefore=tallybox-guard.service\n[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/date -s @60\n[Install]\nWantedBy=multi-user.target\n")
    box.sh("systemctl -q enable rig-clock")
    box.off()
    box.boot()
    try:
        box.until("idle", 90)
        assert int(box.sh("date +%Y")) == 1970
        report = box.sh("tallybox doctor", check=False)
        assert "ok    clock" not in report and "clock" in report, report
        says = lambda: box.sh("systemctl show -P StatusText tallybox-agent")
        blamed = wait("the clock is blamed for the certificates", lambda: says() if "this box's clock" in says() else None, 90)
        # Where there are no certificates a command comes through.
        peers.let_in(anybody=True)
        box.configure(mqtt=PLAIN)
        box.until("idle", 90)
        wait("the agent is connected", lambda: says().startswith("connected"))
        refused = peers.command("request-start")
        assert not refused["ok"] and "clock" in refused["error"], refused
        box.live()
        assert peers.command("stop")["ok"]
        box.until("idle")
        assert box.ok("tallybox ledger verify")
        return f"{blamed}; {refused['error']}; doctor: " + next(line.strip() for line in report.splitlines() if " clock" in line)
    finally:
        box.sh(f"systemctl -q disable rig-clock; date -s @{time.time():.0f}")
        peers.let_in(anybody=False)
        box.configure()
        box.until("idle")


def on_a_small_disk(box, play):
    """The box's data on a file system of its own, of 32 MB: the ledger's reserve has 8."""
    box.idle()
    box.sh("systemctl stop tallybox-guard tallybox-agent; truncate -s 32M /rig/data.img; mkfs.ext4 -q -F -m 0 /rig/data.img; mkdir -p /mnt/data; "
           "mount -o loop /rig/data.img /mnt/data; cp -a /var/lib/tallybox/. /mnt/data/; chown --reference=/var/lib/tallybox /mnt/data; "
           "chmod --reference=/var/lib/tallybox /mnt/data; mount --bind /mnt/data /var/lib/tallybox; systemctl start tallybox-guard tallybox-agent")
    try:
        box.until("idle")
        return play()
    finally:
        box.sh("systemctl stop tallybox-guard tallybox-agent; umount /var/lib/tallybox; umount /mnt/data; rm /rig/data.img; systemctl start tallybox-guard tallybox-agent")
        box.until("idle", 90)


def refuses(box):
    """A fault: nothing starts, and the lamp says SOS. The message for whoever asks."""
    mark = box.hand.mark()
    box.hand.press()
    status = box.until("fault")
    time.sleep(1)
    box.hand.press()
    rhythm = box.hand.rhythm(6)
    assert any(100 <= span <= 250 for span in rhythm) and any(380 <= span <= 560 for span in rhythm), f"not SOS: {rhythm}"
    assert not any(box.hand.values(mark, "open")), "a device was opened"
    assert status["faults"] == ["ledger"], status
    return status["message"]


def refuses_until(box, mend):
    """Refuses, and works again after `mend`, a shell command. The message for whoever asked meanwhile."""
    wait("the guard answers", box.phase)
    message = refuses(box)
    box.sh(mend)
    box.until("idle", 90)
    box.live()
    box.touch()
    assert box.ok("tallybox ledger verify")
    return message


@scenario("a full disk: nothing starts, SOS; with room again it works")
def full(box, peers):
    def play():
        box.sh("cat /dev/zero >/mnt/data/filler", check=False)
        box.sh("systemctl restart tallybox-guard")
        return refuses_until(box, "rm /mnt/data/filler")
    return on_a_small_disk(box, play)


@scenario("a read-only disk: nothing starts, SOS; writable again it works", short=False)
def read_only(box, peers):
    def play():
        # A file system with files open for writing cannot be made read-only: as after a boot that found it damaged.
        box.sh("systemctl stop tallybox-guard tallybox-agent; mount -o remount,ro /mnt/data; systemctl start tallybox-guard tallybox-agent")
        return refuses_until(box, "mount -o remount,rw /mnt/data")
    return on_a_small_disk(box, play)


CUTS = int(os.environ.get("TALLYBOX_CUTS") or (2 if os.environ.get("TALLYBOX_SHORT") else 200))


# In one go, because there may be hundreds of boots: idle, with a ledger that verifies; then the ledger.
AFTER_BOOT = """for i in $(seq 300); do tallybox status --json 2>&1 | grep -Eq '"phase": *"idle"' && break; sleep 0.1; done
tallybox status --json 2>&1 | grep -Eq '"phase": *"idle"' || { tallybox status >&2; exit 1; }
tallybox ledger verify >&2 && tallybox ledger export"""


class Lane:
    """A box and its power cuts, one after the other. The processors do two boxes as fast as one."""

    def __init__(self, box, peers, seed):
        self.box, self.peers, self.seed = box, peers, f"{seed}/{box.seat}"
        self.dice = random.Random(self.seed)
        self.slowest, self.live, self.acknowledged, self.written = 0.0, 0, 0, 0

    def run(self, rounds):
        box = self.box
        box.idle()
        # What the test itself wrote, the configuration before all, is no part of what is tried.
        box.sh("sync")
        # Machines of other scenarios had ledgers of their own: only what is heard from now on is this one's.
        began, heard = len(box.ledger()), len(self.peers.events(box.id))
        for number in range(rounds):
            self.cut(f"round {number} of seed {self.seed}", heard)
            if number % 10 == 9:
                print(f"      {box.id}: {number + 1} power cuts, {self.acknowledged} entries acknowledged", flush=True)
        wait("the broker has heard all",
             lambda: {entry["hash"] for entry in box.ledger()[began:]} <= {event["hash"] for event in self.peers.events(box.id)}, 60)
        self.written = len(box.ledger()) - began
        return self

    def cut(self, where, heard):
        box, dice = self.box, self.dice
        # Mostly there is somebody to acknowledge what happens; sometimes it is too soon after the boot for that.
        if dice.random() < 0.8:
            wait("the agent is connected", lambda: box.sh("systemctl show -P StatusText tallybox-agent").startswith("connected"), 90, 0.2)
        # Presses, holds and touches in any rhythm; the plug is pulled somewhere among them.
        for _ in range(dice.randrange(1, 5)):
            box.hand.do(f"button {dice.choice([60, 100, 200, 1000])}")
            time.sleep(dice.uniform(0, 1.5))
        time.sleep(dice.uniform(0, 1))
        self.live += box.hand.now("capture") != ""
        box.cut()
        acknowledged = {event["seq"]: event["hash"] for event in self.peers.events(box.id)[heard:]}
        box.boot()
        try:
            kept = {entry["seq"]: entry["hash"] for entry in map(json.loads, box.sh(AFTER_BOOT).splitlines())}
        except AssertionError as error:
            raise AssertionError(f"{where}: {error}") from None
        self.slowest = max(self.slowest, time.monotonic() - box.begun)
        assert box.hand.now("capture") == "" and box.hand.now("open") == "", f"{where}: live after a power cut"
        lost = {seq for seq, hash in acknowledged.items() if kept.get(seq) != hash}
        assert not lost, f"{where}: the broker has entries that the ledger has not: {sorted(lost)}"
        self.acknowledged = len(acknowledged)


@scenario(f"{CUTS} power cuts at random moments: idle after each, nothing acknowledged lost")
def cuts(box, peers):
    seed = int(os.environ.get("TALLYBOX_SEED") or time.time())
    # Another machine's boot is worth it only where there are many.
    others = [box.sibling(1)] if CUTS >= 20 else []
    try:
        lanes = [Lane(one, peers, seed) for one in (box, *others)]
        with ThreadPoolExecutor() as pool:
            done = list(pool.map(lambda lane: lane.run(len(range(lanes.index(lane), CUTS, len(lanes)))), lanes))
    finally:
        for other in others:
            other.close()
    total = lambda what: sum(getattr(lane, what) for lane in done)
    assert total("acknowledged") > 0 and total("written") > 0, "the broker heard of nothing: nothing could have been lost"
    return (f"seed {seed}, {len(done)} boxes side by side; capture ran at {total('live')} of them; {total('acknowledged')} acknowledged entries, none lost; "
            f"{total('written')} written meanwhile, all heard by the broker; power to idle at most {max(lane.slowest for lane in done):.1f} s")
