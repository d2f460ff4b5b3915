"""What the benches share: the soak's box and servers, peers with the same elements and encoder settings, growing
recordings, and tables."""

import shlex
import subprocess
import sys
import time
from pathlib import Path
from statistics import median_high as median  # noqa: F401

sys.dont_write_bytecode = True
ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests" / "soak"), str(ROOT / "tests" / "support")]
from waiting import free_port, wait  # noqa: E402,F401
from relay import Relay  # noqa: E402,F401
from appliance import Box, Servers, start, use  # noqa: E402,F401


def gst(
    sink,
    size=(1280, 720),
    kbps=2500,
    source=None,
    h264="stream-format=avc,alignment=au",
    aac="stream-format=raw",
    mux="flvmux name=mux streamable=true",
):
    """gst-launch-1.0 with the elements that the box uses; `sink` is what comes behind its muxer."""
    width, height = size
    picture, sound = source or ("videotestsrc is-live=true", "audiotestsrc is-live=true volume=0.1")
    return shlex.split(
        f"gst-launch-1.0 -q {mux} ! {sink} "
        f"{picture} ! videoconvert name=video-convert ! videoscale ! videorate drop-only={'true' if source is None else 'false'} ! "
        f"video/x-raw,format=I420,width={width},height={height},framerate=30/1,pixel-aspect-ratio=1/1 ! "
        f"x264enc name=encoder tune=zerolatency speed-preset=superfast bitrate={kbps} key-int-max=60 option-string=scenecut=0 ! "
        f"capsfilter name=video-level caps=video/x-h264,profile=main ! h264parse config-interval=-1 ! video/x-h264,{h264} ! mux. "
        f"{sound} ! audioconvert ! audioresample ! audiorate ! audio/x-raw,rate=48000,channels=2 ! "
        f"volume ! voaacenc bitrate=128000 ! aacparse ! audio/mpeg,mpegversion=4,{aac} ! mux."
    )


def ffmpeg(output, size=(1280, 720), kbps=2500, source=None):
    """ffmpeg with the same encoders and settings; `output` is format and place."""
    width, height = size
    take = (
        ["-stream_loop", "-1", "-re", "-i", source, "-vf", f"scale={width}:{height}", "-r", "30", "-fps_mode", "cfr"]
        if source
        else [
            "-re",
            "-f",
            "lavfi",
            "-i",
            f"smptebars=size={width}x{height}:rate=30",
            "-re",
            "-f",
            "lavfi",
            "-i",
            "sine=frequency=440:sample_rate=48000",
        ]
    )
    return [
        "ffmpeg",
        "-hide_banner",
        "-loglevel",
        "error",
        "-nostdin",
        *take,
        "-c:v",
        "libx264",
        "-preset",
        "superfast",
        "-tune",
        "zerolatency",
        "-profile:v",
        "main",
        "-pix_fmt",
        "yuv420p",
        "-b:v",
        f"{kbps}k",
        "-maxrate",
        f"{kbps}k",
        "-bufsize",
        f"{kbps * 6 // 10}k",
        "-g",
        "60",
        "-sc_threshold",
        "0",
        "-c:a",
        "aac",
        "-b:a",
        "128k",
        "-ac",
        "2",
        "-ar",
        "48000",
        *output,
    ]


def quiet(command, **more):
    """Starts a peer; ends with this program."""
    return start(command, stderr=subprocess.DEVNULL, **more)


class Recording:
    """Video frames in an FLV recording that grows: (milliseconds, whether a keyframe, bytes) each."""

    def __init__(self, path):
        self.path, self.file, self.rest, self.frames = path, None, b"", []

    def read(self):
        """Reads on; the number of frames so far."""
        if self.file is None:
            try:
                self.file = open(self.path, "rb", buffering=0)
            except OSError:
                return 0
            self.file.seek(13)
        data, at = self.rest + (self.file.read() or b""), 0
        while at + 16 <= len(data):
            size = int.from_bytes(data[at + 1 : at + 4], "big")
            if at + 15 + size > len(data):
                break
            if data[at] == 9 and data[at + 12] == 1:
                millis = int.from_bytes(data[at + 4 : at + 7], "big") | data[at + 7] << 24
                self.frames.append((millis, data[at + 11] >> 4 == 1, size - 5))
            at += 15 + size
        self.rest = data[at:]
        return len(self.frames)

    def follow(self, seconds):
        """Reads on for so long; the arrivals, as frame number -> time.monotonic()."""
        seen, arrivals, end = self.read(), {}, time.monotonic() + seconds
        while (now := time.monotonic()) < end:
            count = self.read()
            arrivals |= {number: now for number in range(seen, count)}
            seen = count
            time.sleep(0.0003)
        return arrivals


def flv(path):
    """Video frames in a recording so far: (milliseconds, whether a keyframe) each."""
    recording = Recording(path)
    recording.read()
    return [frame[:2] for frame in recording.frames]


def new_recordings(records, name, known):
    return [path for path in records.glob(f"{name}-*.flv") if path not in known]


def first_keyframe(records, name, known, limit=60):
    """When a new recording of `name` has its first keyframe on disk."""

    def arrived():
        return (
            any(key for path in new_recordings(records, name, known) for _, key in flv(path)[:1]) and time.monotonic()
        )

    return wait(f"something arrives from {name}; see {records}", arrived, limit, 0.002)


def percentile(values, share):
    values = sorted(values)
    return values[min(int(len(values) * share), len(values) - 1)]


def table(rows):
    """Prints rows of words, the first of them the heads."""
    rows = [
        [word if isinstance(word, str) else f"{word:.3g}" if isinstance(word, float) else str(word) for word in row]
        for row in rows
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(word.ljust(width) for word, width in zip(row, widths)).rstrip(), flush=True)
