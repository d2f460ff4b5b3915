"""Sound and picture stay together though the sound card counts time by a crystal of its own."""
import array
import math
import re
import statistics
import subprocess
import time

from servers import ffprobe
from scenario import scenario

RATE = 48_000
# The loop is followed from here on, and for so long; in seconds.
SETTLED, MEASURED = 15, 60


def beeps(box):
    """Plays a beep in each second of the card's own time, without end and without a seam."""
    sound = array.array("h")
    for sample in range(10 * RATE):
        word = int(12_000 * math.sin(math.tau * 1000 * sample / RATE)) if sample % RATE < RATE // 10 else 0
        sound.extend((word, word))
    raw = box.work / "beeps.raw"
    raw.write_bytes(sound.tobytes())
    box.copy("/rig/", raw)
    play = "aplay -q -t raw -f S16_LE -c 2 -r 48000 -D plughw:CARD=Loopback,DEV=0"
    box.sh(f"systemd-run -q --unit=rig-beeps sh -c 'while :; do cat /rig/beeps.raw; done | {play}'")


def heard(file):
    """When each beep of a recording begins, in its own time, in seconds."""
    said = subprocess.run(["ffmpeg", "-hide_banner", "-i", str(file), "-af", "silencedetect=noise=-30dB:d=0.3", "-vn", "-f", "null", "-"],
                          capture_output=True, text=True).stderr
    return [float(at) for at in re.findall(r"silence_end: ([0-9.]+)", said)]


def stamps(file, track):
    return [float(packet["pts_time"]) for packet in ffprobe(file, "packet=pts_time", track)["packets"]]


@scenario("a sound card 800 ppm too fast, then too slow: sound stays with the picture", short=False)
def card_clock(box, peers):
    seen = []
    for ppm in (800, -800):
        box.idle()
        # The driver counts in steps of 10 ppm; more is slower.
        box.sh(f"amixer -q -c Loopback cset iface=PCM,name='PCM Rate Shift 100000',device=1,subdevice=0 {100_000 - ppm // 10}")
        beeps(box)
        try:
            box.live()
            time.sleep(SETTLED + MEASURED)
            box.touch()
        finally:
            box.sh("systemctl stop rig-beeps; amixer -q -c Loopback cset iface=PCM,name='PCM Rate Shift 100000',device=1,subdevice=0 100000", check=False)
        file = peers.recordings()[-1]
        video, audio = stamps(file, "v"), stamps(file, "a")
        first = video[0] + SETTLED
        # Pictures are timed by the machine's clock, by which a second of the card is so much shorter.
        second = 1 / (1 + ppm * 1e-6)
        # Where a recording ends in silence, ffmpeg says that the silence ends there: no beep.
        times = [at for at in heard(file) if first < at < audio[-1] - 0.1]
        off = [at - times[0] - round((at - times[0]) / second) * second for at in times]
        middle = statistics.median(off)
        worst = max(abs(one - middle) for one in off)
        drift, counted = times[-1] - times[0] - round((times[-1] - times[0]) / second) * second, (times[-1] - times[0]) * ppm * 1e-6
        lost = box.log(40).split("phase: live")[-1].count("sound were lost")
        assert len(times) > MEASURED * 0.9, f"the machine was too busy to tell: {len(times)} beeps in {video[-1] - first:.0f} s, sound lost {lost} times"
        gaps = max(later - earlier for earlier, later in zip(audio, audio[1:]))
        assert gaps < 0.03, f"a hole of {gaps:.3f} s in the sound"
        assert abs(audio[-1] - video[-1]) < 0.5, f"sound ends at {audio[-1]}, the picture at {video[-1]}"
        assert abs(counted) > 0.04, "nothing would be seen"
        assert worst < 0.040 and abs(drift) < 0.020, f"{ppm} ppm: {drift * 1000:.0f} ms of drift, {worst * 1000:.0f} ms at worst: {off}"
        seen.append(f"{ppm:+} ppm over {times[-1] - times[0]:.0f} s: {abs(drift) * 1000:.1f} ms of drift (merely counted {abs(counted) * 1000:.0f}), at worst {worst * 1000:.1f} ms")
    return "; ".join(seen)
