"""Hours on air with faults from a seeded schedule: what reached the ingest against what was captured, and what it
cost."""
import random
import signal
import subprocess
import time
from pathlib import Path

from appliance import Box, Servers, compare
from relay import Relay

DEVICES = Path(__file__).resolve().parent.parent / "support" / "devices.c"

# Seconds: a stall this short has to be borne without losing a frame; one this long ends the connection.
BORNE, LONG = (0.3, 1.2), (9, 15)


class Air:
    # The longest that ingest or link are away, in seconds.
    away = 6

    def __init__(self, program, home, seed):
        self.servers = Servers(home, record=True)
        self.relay = Relay(self.servers.rtmp)
        (home / "second").mkdir()
        self.second = Servers(home / "second", record=True, broker=False)
        # Camera and microphone that can be pulled out: GStreamer's own elements, and a library in the place of the
        # devices.
        library, self.camera, self.microphone = home / "devices.so", home / "camera", home / "microphone"
        subprocess.run(["cc", "-shared", "-fPIC", "-o", library, DEVICES, "-ldl", "-lpthread"], check=True)
        self.plug()
        ingest = f'rtmp://127.0.0.1:{self.relay.port}/live/soak"\n[ingest.second]\nurl = "rtmp://127.0.0.1:{self.second.rtmp}/live/second'
        self.box = Box(program, home, ingest, f"mqtt://127.0.0.1:{self.servers.mqtt}", video=f'source = "v4l2"\ndevice = "{self.camera}"',
                       audio='source = "alsa"', LD_PRELOAD=str(library), FAKE_CAMERA=str(self.camera), FAKE_MICROPHONE=str(self.microphone))
        self.rng, self.counts, self.back = random.Random(seed), {}, []

    def plug(self):
        """Puts in what is pulled out."""
        if not self.camera.is_symlink():
            self.camera.symlink_to("/dev/null")
        self.microphone.touch()

    def second_is(self, there, limit=60):
        return self.box.control.until(f"second destination on air: {there}", lambda status: (status.get("second") or {}).get("on-air") is there, limit)

    # Each fault leaves everything whole again.
    def ingest_killed(self):
        self.servers.kill("nginx")
        self.box.control.phase("reconnecting")
        time.sleep(self.rng.uniform(0, self.away))
        self.servers.start("nginx")

    def ingest_frozen(self, span=LONG):
        self.servers.signal("nginx", signal.SIGSTOP)
        time.sleep(self.rng.uniform(*span))
        self.servers.signal("nginx", signal.SIGCONT)

    def link_cut(self):
        self.relay.cut()
        self.box.control.phase("reconnecting")
        time.sleep(self.rng.uniform(0, self.away))
        self.relay.mend()

    def link_stalled(self, span=LONG):
        self.relay.stall()
        time.sleep(self.rng.uniform(*span))
        self.relay.flow()

    def link_stalled_for_a_moment(self):
        self.link_stalled(BORNE)

    def ingest_frozen_for_a_moment(self):
        self.ingest_frozen(BORNE)

    def broker_restarted(self):
        self.servers.kill("mosquitto")
        time.sleep(self.rng.uniform(0, 3))
        self.servers.start("mosquitto")

    def muted(self):
        for _ in range(2):
            self.box.control.button(True, mute=True)
            time.sleep(0.1)
            self.box.control.button(False, mute=True)
            time.sleep(self.rng.uniform(0.5, 2))

    def unplugged(self, *devices):
        lost = "camera-lost" if self.camera in devices else "microphone-lost"
        for device in devices:
            device.unlink()
        self.box.control.until(lost, lambda status: status.get("reason") == lost)
        time.sleep(self.rng.uniform(0, self.away))
        self.plug()
        self.box.control.until("it is back", lambda status: status.get("reason") not in ("camera-lost", "microphone-lost"))

    def camera_lost(self):
        self.unplugged(self.camera)

    def microphone_lost(self):
        self.unplugged(self.microphone)

    def both_lost(self):
        self.unplugged(self.camera, self.microphone)

    def second_killed(self):
        self.second.kill("nginx")
        if self.second_is(False)["phase"] != "live":
            raise SystemExit("soak: the first destination does not outlive the second")
        time.sleep(self.rng.uniform(0, self.away))
        self.second.start("nginx")

    def second_frozen(self):
        self.second.signal("nginx", signal.SIGSTOP)
        time.sleep(self.rng.uniform(*LONG))
        self.second.signal("nginx", signal.SIGCONT)

    FAULTS = [camera_lost, microphone_lost, both_lost, second_killed, second_frozen, ingest_killed, ingest_frozen, link_cut, link_stalled, link_stalled_for_a_moment, ingest_frozen_for_a_moment,
              broker_restarted, muted]


def gaps(path):
    """Video frames in a recording; how many its times have room for; its last time in seconds; and each gap, with its
    time and the frames that it is short of."""
    times = []
    with open(path, "rb") as file:
        file.seek(13)
        while len(head := file.read(11)) == 11:
            size = int.from_bytes(head[1:4], "big")
            body = file.read(size)
            if len(body) < size or len(file.read(4)) < 4:
                break
            if head[0] == 9 and size > 5 and body[1] == 1:
                times.append((int.from_bytes(head[4:7], "big") | head[7] << 24) / 1000)
    if not times:
        return 0, 0, 0, []
    short = [(a, round((b - a) * 30) - 1) for a, b in zip(times, times[1:])]
    return len(times), round((times[-1] - times[0]) * 30) + 1, times[-1], [gap for gap in short if gap[1]]


def run(program, home, hours, seed, calm, short, note):
    """Runs for `hours`, a fault every `calm` seconds on average; the table's rows, and what was counted. The
    rows are the end against the second tenth. `short`: no fault that takes long."""
    air, samples = Air(program, home, seed), []
    air.away = 1 if short else Air.away
    faults = [fault for fault in Air.FAULTS if not short or fault not in (Air.ingest_frozen, Air.link_stalled, Air.second_frozen)]
    begun = time.monotonic()
    passed = lambda: time.monotonic() - begun
    air.box.touch(0.1)
    air.box.control.phase("live")
    air.second_is(True)
    pid = air.box.control.status["capture-pid"]
    bag, away = [], []
    while passed() < hours * 3600:
        # Each fault once before any comes again, in an order of the seed's.
        bag = bag or air.rng.sample(faults, len(faults))
        end = passed() + air.rng.expovariate(1 / calm)
        while passed() < end:
            time.sleep(min(1, max(end - passed(), 0)))
            samples.append({"seconds": round(passed(), 1), "use": air.box.use()})
            note(samples[-1])
        fault, begun_fault = bag.pop(), passed()
        air.counts[fault.__name__] = air.counts.get(fault.__name__, 0) + 1
        fault(air)
        mended = time.monotonic()
        air.box.control.phase("live", limit=90)
        air.back.append(time.monotonic() - mended)
        air.second_is(True, limit=90)
        if fault in (Air.ingest_frozen, Air.link_stalled, Air.camera_lost, Air.both_lost):
            # Longer than any live queue bears, or without a camera: until that is noticed there is nothing to send.
            away.append((begun_fault, passed() + 3))
        # Frames flow again: whoever counts recordings has one with something in it.
        time.sleep(1)
    status = air.box.control.status
    if status["capture-pid"] != pid:
        raise SystemExit("soak: capture did not last")
    took = passed()
    air.box.stop()
    verified = air.box.call("ledger", "verify")
    air.box.end()
    air.servers.end()
    air.second.end()
    if not any(gaps(path)[0] for path in air.second.records.glob("*.flv")):
        raise SystemExit("soak: nothing has arrived at the second destination")
    if verified.returncode:
        raise SystemExit(f"soak: {verified.stderr}")
    counted = [gaps(path) for path in air.servers.records.glob("*.flv")]
    out, room = (sum(counts[column] for counts in counted) for column in (0, 1))
    # The stream's time, on this program's clock: its last frame is as old as the stop.
    shift = took - max(counts[2] for counts in counted)
    behind = [(at + shift, count) for counts in counted for at, count in counts[3]]
    stalled = sum(count for at, count in behind if any(begin - 1 <= at <= end for begin, end in away))
    share = out / (room - stalled)
    said = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in sorted(air.counts.items()))
    print(f"on air: {took:.0f} s, {sum(air.counts.values())} faults ({said}); {len(counted)} recordings; frames out/in while on air "
          f"{out}/{room - stalled} = {share:.5f}, not counted {stalled} while ingest or link stood still for {LONG[0]} s and more, or the camera was away; given up in all "
          f"{status['stream']['dropped-frames']}; live again after the mend: median {sorted(air.back)[len(air.back) // 2]:.2f} s, longest {max(air.back):.2f} s")
    if share < 1:
        print(f"gaps, in seconds of this run: {[(round(at, 1), count) for at, count in behind]}; stood still {[(round(a, 1), round(b, 1)) for a, b in away]}")
    tenth = max(len(samples) // 10, 1)
    rows = compare(samples[tenth:2 * tenth] or samples[:1], samples[-tenth:], ("guard", "agent", "capture"))
    return rows, {"seconds": round(took), "faults": sum(air.counts.values()), "sorts-of-faults": len(air.counts),
                  "frames-out": out, "frames-in": room - stalled, "back-s": round(max(air.back), 2)}
