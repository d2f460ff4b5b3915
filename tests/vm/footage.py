"""Real footage in front of the camera: the test driver's output is looped to its input, and what the ingest recorded is
held against the original, picture by picture."""
import subprocess
import time
from operator import sub

from on_air import SPEECH as FOOTAGE
from waiting import wait
from scenario import scenario

WIDTH, HEIGHT, FPS = 640, 360, 25
SMALL = (32, 18)
# The camera's second input is at the end of a cable from the output; 1280x720 at 25 a second go through it (the fifth
# of the driver's timings), which both ends scale. No test text in the picture.
CABLE = """out=/dev/$(cd /sys/class/video4linux; grep -l vivid-000-vid-out */name | cut -d/ -f1)
v4l2-ctl -d /dev/shopcam -i 1 --set-dv-bt-timings index=4 -c hdmi_000_0_is_connected_to=2,osd_text_mode=2
v4l2-ctl -d $out --set-dv-bt-timings index=4
v4l2-ctl -d $out --set-fmt-video-out=width={width},height={height},pixelformat=YU12
systemctl reset-failed rig-footage 2>/dev/null
systemd-run -q --unit=rig-footage v4l2-ctl -d $out --stream-out-mmap --stream-from=/dev/shm/footage --stream-loop
"""
WEBCAM = "v4l2-ctl -d /dev/shopcam -i 0 -c hdmi_000_0_is_connected_to=0,osd_text_mode=0"


def pictures(file, target, size, form, more=""):
    """The file's pictures, as bytes of one format, in a file."""
    command = ["ffmpeg", "-v", "error", "-y", "-i", file, "-vf", f"{more}scale={size[0]}:{size[1]}", "-pix_fmt", form, "-fps_mode", "passthrough", "-enc_time_base", "1/90000", "-f", "rawvideo", target]
    subprocess.run(command, check=True)
    return target


def frames(data, size):
    return [data[at:at + size] for at in range(0, len(data) - size + 1, size)]


def similarity(one, other, size=(WIDTH, HEIGHT)):
    """SSIM of two files of I420 pictures as ffmpeg has it, 1 being the same: of all, and of the worst picture."""
    raw = ["-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", f"{size[0]}x{size[1]}", "-r", str(FPS)]
    done = subprocess.run(["ffmpeg", "-v", "error", *raw, "-i", one, *raw, "-i", other, "-lavfi", "ssim=stats_file=-", "-f", "null", "-"],
                          capture_output=True, text=True, check=True).stdout
    each = [float(line.split("All:")[1].split()[0]) for line in done.splitlines() if "All:" in line]
    return sum(each) / len(each), min(each)


def judge(work, recording):
    """How like the footage the recording is, when each picture is held against the one of the footage that it shows."""
    shown = pictures(FOOTAGE, work / "shown.yuv", (WIDTH, HEIGHT), "yuv420p")
    # In the first second the encoder still finds its bits.
    came = pictures(recording, work / "came.yuv", (WIDTH, HEIGHT), "yuv420p", "trim=start=1,")
    gray = SMALL[0] * SMALL[1]
    known = frames(pictures(FOOTAGE, work / "known", SMALL, "gray").read_bytes(), gray)
    seen = frames(pictures(recording, work / "seen", SMALL, "gray", "trim=start=1,").read_bytes(), gray)
    far = lambda one, other: sum(map(abs, map(sub, one, other)))
    which = [min(range(len(known)), key=lambda index: far(known[index], picture)) for picture in seen]
    whole = frames(shown.read_bytes(), WIDTH * HEIGHT * 3 // 2)
    (work / "wanted.yuv").write_bytes(b"".join(whole[index] for index in which))
    (work / "wrong.yuv").write_bytes(b"".join(whole[(index + len(whole) // 2) % len(whole)] for index in which))
    mean, worst = similarity(came, work / "wanted.yuv")
    wrong, _ = similarity(came, work / "wrong.yuv")
    half = len(known) // 2
    steps = [(later - earlier + half) % len(known) - half for earlier, later in zip(which, which[1:])]
    return mean, worst, wrong, sum(steps), len(seen)


@scenario("real footage before the camera: what the ingest recorded is the footage, picture by picture", short=False)
def footage(box, peers):
    box.copy("/dev/shm/footage", pictures(FOOTAGE, box.work / "footage", (WIDTH, HEIGHT), "yuv420p"))
    box.configure(video={"width": WIDTH, "height": HEIGHT, "fps": FPS, "bitrate-kbps": 2500})
    box.sh(CABLE.format(width=WIDTH, height=HEIGHT))
    try:
        wait("the footage is played", lambda: box.ok("systemctl is-active rig-footage"))
        box.live()
        before = peers.received()
        wait("the ingest receives", lambda: peers.received() > before + 200_000)
        time.sleep(8)
        form = box.sh("v4l2-ctl -d /dev/shopcam --get-fmt-video | grep Pixel")
        assert "YU12" in form, f"both ends of the cable want the same format: {form}"
        box.touch()
        recording = peers.recordings()[-1]
    finally:
        box.sh(f"systemctl stop rig-footage; {WEBCAM}; rm -f /dev/shm/footage", check=False)
        box.configure()
        box.until("idle")
    mean, worst, wrong, advanced, count = judge(box.work, recording)
    seen = f"{count} pictures, SSIM {mean:.3f}, the worst {worst:.3f}, against others of the same footage {wrong:.3f}; it went on by {advanced / FPS:.1f} s"
    assert mean > 0.9 and worst > 0.7 and wrong < mean - 0.15, seen
    # On a busy machine fewer get through, and the player is late; it is the footage all the same, and goes on.
    assert count > 2 * FPS and advanced > 2 * FPS, seen
    return seen
