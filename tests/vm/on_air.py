"""A good day: the box is installed, staff press, the stream arrives, staff touch, it is dark."""
import statistics
import subprocess
import time

from box import REPO
from waiting import wait
from servers import ffprobe, silences, volume
from scenario import scenario

UNITS = ("tallybox.target", "tallybox-capture.socket", "tallybox-guard.service", "tallybox-agent.service")
SPEECH = REPO / "tests/media/bigbuckbunny-720p25-5s.mp4"


@scenario("the package installs on a bare Debian, and the box comes up", kind="bare")
def installs(box, peers):
    box.install_package()
    for unit in UNITS:
        assert box.ok(f"systemctl is-active {unit}"), box.sh(f"systemctl status --no-pager {unit}", check=False)
    box.until("idle")
    wait("the broker hears it", lambda: "online" in peers.said("availability"))
    return box.sh("dpkg-query -W -f='${Package} ${Version}, ${Installed-Size} KiB installed' tallybox")


@scenario("boot: units up, target active, broker connected, doctor content, nothing open")
def boots(box, peers):
    wait("the target is active", lambda: box.ok("systemctl is-active tallybox.target"))
    for unit in UNITS:
        assert box.ok(f"systemctl is-active {unit}"), box.sh(f"systemctl status --no-pager {unit}", check=False)
    box.until("idle")
    said = wait("systemd hears that the broker is connected", lambda: "connected to peers" in box.sh("systemctl show -P StatusText tallybox-agent"))
    assert said and not box.devices_open()
    users = {role: box.sh(f"ps -o user:20= -p $(systemctl show -P MainPID tallybox-{role})") for role in ("guard", "agent")}
    assert users == {"guard": "tallybox-guard", "agent": "tallybox-agent"}, users
    # Since the kernel started, in microseconds; the guest's own clock.
    ready = {role: int(box.sh(f"systemctl show -P ActiveEnterTimestampMonotonic tallybox-{role}")) / 1e6 for role in ("guard", "agent")}
    memory = {role: resident(box, f"$(systemctl show -P MainPID tallybox-{role})") for role in ("guard", "agent")}
    report = box.sh("tallybox doctor", check=False)
    for row in ("panel", "camera", "microphone", "ledger", "broker"):
        assert f"ok    {row} " in report, report
    return (f"ready after {ready['guard']:.1f} s (guard) and {ready['agent']:.1f} s (agent) of kernel time; "
            f"resident {memory['guard']:.1f} MB (guard), {memory['agent']:.1f} MB (agent)")


def resident(box, pid):
    return int(box.sh(f"awk '/^VmRSS/ {{print $2}}' /proc/{pid}/status")) / 1024


@scenario("press: lamp before camera, live, H.264 and AAC at the ingest; a touch on the way down ends it")
def on_air(box, peers):
    box.idle()
    hand, before = box.hand, peers.received()
    mark = hand.mark()
    hand.press()
    lit = hand.first(mark, "lamp", lambda level: level == "1")
    opened = hand.first(mark, "open", lambda nodes: "/dev/video" in nodes)
    up = hand.first(mark, "button", lambda level: level == "1")
    assert lit <= opened, f"the lamp was lit at {lit} ms, the camera open at {opened} ms"
    assert up <= opened, "a press is a press when it is let go: nothing may open before"
    box.until("live")
    wait("the ingest receives", lambda: peers.received() > before + 300_000)
    wait("the broker hears it", lambda: peers.state() == "live")
    nodes = hand.now("open")
    assert "/dev/video" in nodes and "/dev/snd/pcm" in nodes, nodes
    rhythm = hand.rhythm(3)
    assert hand.now("lamp") == "1" and not rhythm, f"the lamp is not solid: {rhythm}"
    pid = hand.now("capture")
    limits = box.sh(f"grep -c 'Max core file size *0 *0 ' /proc/{pid}/limits")
    assert limits == "1", "a core dump of capture would be footage"
    longest = box.sh(f"systemctl show -P RuntimeMaxUSec $(ps -o unit= -p {pid})")
    assert longest not in ("", "infinity"), longest
    memory = resident(box, pid)
    # Down, and held: the stop does not wait for the finger to leave, and letting go later starts nothing.
    mark = hand.mark()
    hand.do("button down")
    down = hand.first(mark, "button", lambda level: level == "0")
    gone = hand.first(mark, "capture", lambda pids: pids == "", after=down)
    hand.do("button up")
    box.until("idle")
    box.dark()
    dark = max(gone, next(at for at, name, _ in reversed(hand.seen) if name == "lamp"))
    assert gone - down <= 530, f"capture was gone only after {gone - down} ms (debounce 30 ms, and the 500 ms of consent rule 4)"
    assert box.ok("timeout 20 v4l2-ctl -d /dev/shopcam --stream-mmap --stream-count=1"), "the camera is not free"
    return (f"{verify_recording(peers.recordings()[-1])}; lamp {opened - lit} ms before the camera; capture gone {gone - down} ms "
            f"after the touch, lamp dark {dark - gone} ms later; capture {memory:.0f} MB resident, longest session {longest}")


def verify_recording(file, sound=True):
    streams = {stream["codec_name"]: stream for stream in ffprobe(file, "stream=codec_name,width,height")["streams"]}
    assert (streams["h264"]["width"], streams["h264"]["height"]) == (640, 360), streams
    assert ("aac" in streams) == sound, streams
    stamps = [float(packet["dts_time"]) for packet in ffprobe(file, "packet=dts_time", "v")["packets"]]
    assert len(stamps) > 15 and all(later > earlier for earlier, later in zip(stamps, stamps[1:])), "time goes back"
    return f"{len(stamps)} pictures of 640x360 in {stamps[-1] - stamps[0]:.1f} s"


@scenario("press to first keyframe on the ingest's disk, median of 3")
def first_picture(box, peers):
    spans = []
    for _ in range(3):
        box.idle()
        known = set(peers.recordings())
        mark, started = box.hand.mark(), time.monotonic()
        box.hand.do("button 50")
        # The first picture of a recording is a keyframe, and comes behind some 400 bytes of headers.
        fresh = lambda: next((file for file in peers.recordings() if file not in known and file.stat().st_size > 2000), None)
        wait("a picture", fresh, step=0.002)
        spans.append(time.monotonic() - started)
        box.until("live")
        assert box.hand.first(mark, "open", lambda nodes: "/dev/video" in nodes)
        box.touch()
    return f"{statistics.median(spans):.2f} s, the press of 50 ms and 30 ms of debounce included"


@scenario("sound is heard at the ingest; mute sends silence, and the stream goes on")
def sound(box, peers):
    wav = box.work / "speech.wav"
    subprocess.run(["ffmpeg", "-v", "error", "-y", "-i", SPEECH, "-ac", "2", "-ar", "48000", wav], check=True)
    loudness = volume(wav)
    box.copy("/rig/", wav)
    box.sh("systemd-run -q --unit=rig-sound sh -c 'while :; do aplay -q -D plughw:CARD=Loopback,DEV=0 /rig/speech.wav; done'")
    try:
        box.live()
        time.sleep(4)
        box.touch()
        loud = volume(peers.recordings()[-1])
        box.live()
        box.hand.do("mute 150")
        wait("it is muted", lambda: box.status().get("muted"))
        seconds = 6
        time.sleep(seconds)
        rhythm = box.hand.rhythm(4.5)
        assert any(60 <= span <= 160 for span in rhythm), f"the lamp has no notch: {rhythm}"
        box.touch()
        quiet = silences(peers.recordings()[-1])
    finally:
        box.sh("systemctl stop rig-sound", check=False)
    assert loud > loudness - 12, f"{loud} dB at the ingest, {loudness} dB in front of the microphone"
    assert quiet and max(quiet) > seconds / 2, f"no silence: {quiet}"
    return f"{loud:.0f} dB at the ingest ({loudness:.0f} dB played); {max(quiet):.0f} s of silence in the muted recording"


@scenario("a press of 1.2 s: picture only, and the microphone is never opened")
def picture_only(box, peers):
    box.idle()
    mark = box.hand.mark()
    box.hand.hold(1.2)
    box.until("live")
    wait("a stream", lambda: box.status().get("stream"))
    time.sleep(3)
    box.touch()
    opened = set(",".join(box.hand.values(mark, "open")).split(","))
    assert any("/dev/video" in node for node in opened) and not any("snd" in node for node in opened), opened
    return verify_recording(peers.recordings()[-1], sound=False) + f"; opened: {' '.join(sorted(filter(None, opened)))}"


@scenario("5 s locks a live box, a press does nothing then, 2 s unlock")
def lock(box, peers):
    mark = box.live()
    mark = box.hand.mark()
    box.hand.hold(5.3)
    down = box.hand.first(mark, "button", lambda level: level == "0")
    gone = box.hand.first(mark, "capture", lambda pids: pids == "", after=down)
    box.until("locked")
    mark = box.hand.mark()
    box.hand.press()
    rhythm = box.hand.rhythm(6)
    assert any(50 <= span <= 130 for span in rhythm), f"no short flash: {rhythm}"
    assert box.phase() == "locked" and not any(box.hand.values(mark, "capture"))
    box.sh("systemctl restart tallybox-guard")
    box.until("locked")
    box.hand.hold(2.3)
    box.until("idle")
    box.dark()
    return f"capture gone {gone - down} ms after the finger came down; still locked after a restart"


@scenario("10 s unbinds a live box, with a warning from 8 s: capture off, footage and credentials destroyed")
def unbind(box, peers):
    box.live()
    before, mark = len(box.ledger()), box.hand.mark()
    box.hand.hold(10.4)
    down = box.hand.first(mark, "button", lambda level: level == "0")
    up = box.hand.first(mark, "button", lambda level: level == "1", after=down)
    lamp = [at - down for at, name, _ in box.hand.seen[mark:] if name == "lamp"]
    warning = [at for at in lamp if 8100 < at < 9900]
    assert up - down > 10_000 and len(warning) > 20, f"no quick blink between 8 and 10 s: {lamp}"
    wait("the ledger says so", lambda: any(fact["kind"] == "unbound" for fact in box.facts()[before:]), 30)
    assert not box.devices_open()
    wait("the box answers", box.phase)
    assert (box.phase(), box.status()["reason"]) == ("locked", "unbind"), box.status()
    box.hand.hold(2.3)
    box.hand.press()
    box.sh("systemctl restart tallybox-guard")
    wait("the box answers", box.phase)
    assert (box.phase(), box.status()["reason"]) == ("locked", "unbind"), box.status()
    left = set(box.sh("ls /etc/tallybox").split())
    assert not {"client.key", "client.pem"} & left, left
    # Without them the agent waits for the files to change; it is not started again and again.
    box.sh("systemctl restart tallybox-agent || test $(systemctl show -P ExecMainStatus tallybox-agent) = 243")
    assert box.sh("systemctl is-failed tallybox-agent").strip() == "failed"
    # Another configuration, with credentials of its own, claims it.
    box.identify()
    box.sh("echo '# claimed' >>/etc/tallybox/tallybox.toml; systemctl restart tallybox-guard tallybox-agent")
    box.idle()
    return " ".join(fact["kind"] for fact in box.facts()[before:])


@scenario("the platform asks, mutes and stops; it cannot start")
def platform(box, peers):
    box.idle()
    wait("the agent is connected", lambda: box.sh("systemctl show -P StatusText tallybox-agent").startswith("connected"))
    mark = box.hand.mark()
    assert peers.command("request-start")["ok"]
    box.until("requested")
    rhythm = box.hand.rhythm(4.5)
    assert rhythm and all(900 <= span <= 1150 for span in rhythm), f"not a slow pulse: {rhythm}"
    assert not any(box.hand.values(mark, "capture")) and not any(box.hand.values(mark, "open"))
    box.hand.press()
    box.until("live")
    assert peers.command("mute")["ok"] and peers.command("unmute")["ok"]
    assert peers.command("stop")["ok"]
    assert not box.devices_open(), "a stop is acknowledged when capture is gone"
    box.dark()
    assert not peers.command("start").get("ok"), "there is no such command"


@scenario("the Raspberry Pi backend, unmodified: press, live, lamp, stop, lock", kind="pi")
def pi(box, peers):
    box.until("idle")
    assert box.status()["panel"] == "rppal", box.status()
    before = peers.received()
    mark = box.live()
    lit = box.hand.first(mark, "lamp", lambda level: level == "1")
    opened = box.hand.first(mark, "open", lambda nodes: "/dev/video" in nodes)
    assert lit <= opened, f"lamp {lit} ms, camera {opened} ms"
    wait("the ingest receives", lambda: peers.received() > before + 200_000)
    took = box.touch()
    box.dark()
    box.hand.hold(5.3)
    box.until("locked")
    box.hand.hold(2.3)
    box.until("idle")
    return f"rppal; lamp {opened - lit} ms before the camera; capture gone {took} ms after the touch"
