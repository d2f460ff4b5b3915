"""Camera and microphone are pulled out while live, and put back: slate and silence, and never a hole in the stream."""
import json
import os
import random
import subprocess
import time

from waiting import wait
from servers import ffprobe
from scenario import scenario


def clock(box):
    """The guest's own monotonic clock, in seconds."""
    return float(box.sh("cut -d' ' -f1 /proc/uptime"))


class Bound:
    """A device of a test driver, which is there while the driver is bound to it. `there`: how a shell sees it;
    `word`: what the box calls its loss."""

    def __init__(self, driver, device, there, word):
        self.driver, self.device, self.there, self.words = f"/sys/bus/platform/drivers/{driver}", device, there, (word,)

    def pull(self, box):
        """Pulls the plug; when that was, by the guest's clock. The driver of the sound card waits until nobody has it
        open any more: pulling a plug does not, so it is not waited for."""
        order = f"echo {self.device} >{self.driver}/unbind"
        return float(box.sh(f"cut -d' ' -f1 /proc/uptime; systemd-run -q --collect --unit=rig-unplug sh -c '{order}'"))

    def push(self, box):
        """Puts the plug back in; when the device was there again, by the guest's clock."""
        wait("it is pulled out altogether", lambda: not box.ok("systemctl is-active rig-unplug"), 60, 0.1)
        order = f"echo {self.device} >{self.driver}/bind"
        return float(box.sh(f"{order}; until {self.there}; do sleep 0.02; done; cut -d' ' -f1 /proc/uptime"))


CAMERA = Bound("vivid", "vivid.0", "[ -e /dev/shopcam ]", "camera-lost")
MICROPHONE = Bound("snd_aloop", "snd_aloop.0", "grep -q capture /proc/asound/pcm", "microphone-lost")


def told(box, word, since):
    """When the guard heard of losses of this kind and of returns, by the guest's clock: [(lost, back), ...]."""
    lines = box.sh("journalctl -b --no-pager -o json --output-fields=MESSAGE -t tallybox-guard -n 300").splitlines()
    lost, pairs = None, []
    for line in map(json.loads, lines):
        at, said = int(line["__MONOTONIC_TIMESTAMP"]) / 1e6, line["MESSAGE"]
        if at < since or not isinstance(said, str) or f"{word}: " not in said:
            continue
        if "it is back" in said:
            pairs.append((lost, at))
            lost = None
        else:
            lost = at
    return pairs + ([(lost, None)] if lost else [])


def reason(box, wanted, limit=30):
    """Waits until a live box gives this reason."""
    def there():
        status = box.status()
        return status.get("phase") == "live" and status.get("reason") == wanted and status
    return wait(f"live, reason {wanted}; {box.status()}", there, limit, 0.1)


def whole(file, picture, sound):
    """Both tracks of a recording go on without a hole of more than so many seconds, and without a step back: (longest
    step of the picture, of the sound)."""
    longest = []
    for track, most in ("v", picture), ("a", sound):
        times = [float(packet["pts_time"]) for packet in ffprobe(file, "packet=pts_time", track)["packets"]]
        steps = [later - earlier for earlier, later in zip(times, times[1:])]
        assert min(steps) > 0, f"{track}: a step of {min(steps)} s"
        assert max(steps) < most, f"{track}: a hole of {max(steps)} s"
        longest.append(max(steps))
    return longest


def slates(file):
    """How often a recording goes over to the slate: grey throughout, while the camera's picture has all colours."""
    filters = "scale=160:-2,signalstats,metadata=print:file=-"
    said = subprocess.run(["ffmpeg", "-v", "error", "-i", str(file), "-an", "-vf", filters, "-f", "null", "-"], capture_output=True, text=True, check=True).stdout
    values = {name: [float(line.split("=")[1]) for line in said.splitlines() if f".{name}=" in line] for name in ("UMIN", "UMAX", "VMIN", "VMAX")}
    grey = [min(pair[0], pair[2]) > 118 and max(pair[1], pair[3]) < 138 for pair in zip(*values.values())]
    return sum(now and not before for before, now in zip([False, *grey], grey))


def cycles(box, peers, plug, rounds):
    """Pulls the plug and puts it back in, so often: the recording, and what was seen."""
    box.live()
    wait("a stream", lambda: box.status().get("stream"))
    known, mark = len(peers.recordings()), box.hand.mark()
    capture = box.hand.now("capture")
    gone, back = [], []
    chance = random.Random(4)
    for _ in range(rounds):
        pulled = plug.pull(box)
        status = reason(box, plug.words[0])
        assert status["lamp"] == "solid", status
        for word in plug.words[1:]:
            wait(f"{word} is told", lambda: told(box, word, pulled), 30, 0.2)
        time.sleep(chance.uniform(0, 2))
        pushed = plug.push(box)
        reason(box, None)
        for word in plug.words:
            lost, found = told(box, word, pulled)[-1]
            gone.append(lost - pulled)
            back.append(found - pushed)
        time.sleep(chance.uniform(0, 1))
    assert box.hand.now("capture") == capture, "it was one and the same capture"
    assert not box.hand.values(mark, "lamp"), "the lamp was solid throughout"
    states = peers.said("state")
    assert any(state["phase"] == "live" and state["reason"] == plug.words[0] for state in states), states[-5:]
    took = box.touch()
    assert took < 500, f"capture gone after {took} ms"
    box.dark()
    assert max(gone) < 2 and max(back) < 2, f"away after {max(gone):.2f} s, back after {max(back):.2f} s"
    recordings = peers.recordings()[known - 1:]
    assert len(recordings) == 1, f"the stream broke: {recordings}"
    return recordings[0], f"{rounds} of {rounds}; told {max(gone):.2f} s after the pull at most, back {max(back):.2f} s after its return at most"


def rounds(short, long):
    return short if os.environ.get("TALLYBOX_SHORT") else long


@scenario("the camera is unplugged while live and comes back: a slate meanwhile, and one stream")
def camera(box, peers):
    count = rounds(3, 100)
    file, seen = cycles(box, peers, CAMERA, count)
    picture, sound = whole(file, 2.0, 0.5)
    assert slates(file) == count, f"{slates(file)} slates in {count} rounds"
    return f"{seen}; longest step at the ingest {picture:.2f} s of picture, {sound:.2f} s of sound"


@scenario("the microphone is lost while live and comes back: silence meanwhile, and one stream")
def microphone(box, peers):
    file, seen = cycles(box, peers, MICROPHONE, rounds(2, 20))
    picture, sound = whole(file, 2.0, 0.1)
    return f"{seen}; longest step at the ingest {picture:.2f} s of picture, {sound:.2f} s of sound"


@scenario("a camera that stays away ends the session; while it is away a touch ends it, and its return opens nothing", short=False)
def stays_away(box, peers):
    box.idle()
    box.configure(capture={"device-lost-limit": "5s"})
    try:
        box.live()
        wait("a stream", lambda: box.status().get("stream"))
        pulled = CAMERA.pull(box)
        box.until("idle")
        box.dark()
        said = box.facts()[-1]
        assert said["kind"] == "session-stopped" and said["reason"] == "camera-lost", said
        took = clock(box) - pulled
        box.hand.press()
        wait("a press without a camera ends, and says why", lambda: box.facts()[-1] != said and box.facts()[-1]["kind"] == "session-stopped", 30)
        without = box.facts()[-1]
        assert without["reason"] == "capture-failed" and "shopcam" in without["message"], without
        box.until("idle")
        CAMERA.push(box)
        box.live()
        wait("a stream", lambda: box.status().get("stream"))
        CAMERA.pull(box)
        reason(box, "camera-lost")
        touched = box.touch()
        assert touched < 500, f"capture gone after {touched} ms"
        mark = box.hand.mark()
        CAMERA.push(box)
        time.sleep(2)
        assert not box.devices_open() and not any(box.hand.values(mark, "open")) and box.phase() == "idle"
    finally:
        if not box.ok(CAMERA.there):
            CAMERA.push(box)
        box.configure()
    box.live()
    box.touch()
    return f"ended {took:.1f} s after the pull ({said['message']}); without it: {without['message']}; capture gone {touched} ms after a touch meanwhile"
