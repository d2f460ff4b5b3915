"""A USB stick with a configuration is put in: udev, the unit that udev starts, and what the box says to it."""
import struct
import subprocess

from waiting import wait
from servers import ffprobe
from scenario import scenario

# The test machine's disks are not on a USB: this is what udev would find out about one that is.
RULE = 'SUBSYSTEM=="block", KERNEL=="ubdb*", ENV{ID_BUS}="usb"\n'
UNIT = "tallybox-usb@ubdb1.service"


def image(box, text):
    """A stick as they are sold: one FAT partition, one MiB from the beginning. `text` is its tallybox.toml, if any."""
    part, stick = box.work / "part.img", box.work / "stick.img"
    part.unlink(missing_ok=True)
    subprocess.run(["mkfs.vfat", "-C", "-n", "SHOP", part, "8192"], check=True, capture_output=True)
    if text is not None:
        subprocess.run(["mcopy", "-i", part, "-", "::tallybox.toml"], input=text, text=True, check=True)
    sectors = part.stat().st_size // 512
    table = struct.pack("<B3sB3sII", 0, b"\x20\x21\x00", 0x0C, b"\xfe\xff\xff", 2048, sectors)
    stick.write_bytes((bytes(446) + table + bytes(48) + b"\x55\xaa").ljust(2048 * 512, b"\0") + part.read_bytes())
    return stick


def run_of(box):
    """The unit's last run: its number, and its state."""
    return tuple(box.sh(f"systemctl show -P InvocationID {UNIT}; systemctl show -P ActiveState {UNIT}").split())


def put_in(box, text):
    """Puts a stick in, waits until the box has done with it, and pulls it out: the unit's exit code and what it
    said."""
    former, cursor = run_of(box)[:-1], box.sh("journalctl -q -n 0 --show-cursor").removeprefix("-- cursor: ")
    box.plug("ubdb", image(box, text))

    def done():
        run = run_of(box)
        return len(run) == 2 and run[:1] != former and run[1] in ("inactive", "failed")
    wait("the box has looked at the stick", done, 90, 0.2)
    code = int(box.sh(f"systemctl show -P ExecMainStatus {UNIT}"))
    said = box.sh(f"journalctl --sync; journalctl --no-pager -o cat -u {UNIT} --after-cursor='{cursor}'")
    assert box.ok("! findmnt /dev/ubdb1"), "still mounted"
    box.unplug("ubdb")
    wait("the stick is gone", lambda: box.ok("! test -e /dev/ubdb1"), 30)
    box.sh(f"systemctl reset-failed {UNIT}", check=False)
    return code, said


def settings(box):
    return box.sh("find /etc/tallybox -type f -exec sha256sum {} + | sort")


@scenario("a USB stick: one without a file, a wrong one and one for another server change nothing, nor a good one while live; a good one is taken", short=False)
def stick(box, peers):
    box.idle()
    box.write("/etc/udev/rules.d/70-rig-stick.rules", RULE)
    box.sh("udevadm control --reload")
    before, guard = settings(box), box.sh("systemctl show -P MainPID tallybox-guard")
    good = "[video]\nwidth = 320\nheight = 180\nbitrate-kbps = 400\n"

    def refused(text, wanted, *words):
        code, said = put_in(box, text)
        assert code == wanted and all(word in said for word in words), (code, said)
        assert settings(box) == before and box.sh("systemctl show -P MainPID tallybox-guard") == guard, f"changed: {said}"
        return said
    try:
        refused(None, 66)
        wrong = refused(good + "bitrate = 3\n", 78, "tallybox.toml:5:1", "bitrate")
        box.live()
        capture = box.hand.now("capture")
        refused(good, 75, "only when nothing is captured")
        assert box.phase() == "live" and box.hand.now("capture") == capture, "the session was interrupted"
        box.touch()
        # A box that was used has staff who agreed to where streams go.
        other = '[ingest]\nurl = "rtmp://203.0.113.9/live/key"\n[privacy]\nallowed-ingest-hosts = ["10.78.0.1", "203.0.113.9"]\n'
        refused(other, 77, "did not agree")
        refused('[ingest]\nurl = "rtmp://10.78.0.1/live/another-key"\n', 77, "another key")
        refused('[device]\nid = "another-box"\n', 77, "as root")
        # The box's secrets stay with its own servers, whatever a stick writes around them.
        refused('[mqtt]\nurl = "mqtts://${BROKER_PASSWORD}:${STREAM_KEY}@203.0.113.9"\n', 78, "a stick cannot send the secret")
        mark = box.hand.mark()
        code, said = put_in(box, good)
        assert code == 0 and "taken as /etc/tallybox/conf.d/50-usb.toml" in said, (code, said)
        assert not any(box.hand.values(mark, "open")) and "1" in box.hand.values(mark, "lamp"), "the lamp says that it was taken, and nothing is opened"
        assert box.sh("cat /etc/tallybox/conf.d/50-usb.toml").strip() == good.strip()
        box.live()
        before_size = peers.received()
        wait("the ingest receives", lambda: peers.received() > before_size + 30_000)
        box.touch()
        picture = ffprobe(peers.recordings()[-1], "stream=width,height", "v")["streams"][0]
        assert (picture["width"], picture["height"]) == (320, 180), picture
        assert "already" in put_in(box, good)[1]
    finally:
        box.sh("rm -f /etc/udev/rules.d/70-rig-stick.rules /etc/tallybox/conf.d/50-usb.toml*; udevadm control --reload; systemctl restart tallybox-guard tallybox-agent")
        box.until("idle", 90)
    line = lambda text, word: next(line.strip() for line in text.splitlines() if word in line)
    return f"{line(wrong, 'toml:5')}; {line(said, 'taken')}; 320x180 on air"
