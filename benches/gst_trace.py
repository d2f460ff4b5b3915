"""When each frame was handed to which element, from GStreamer's own log: no measuring code in either program."""
import re
import threading
import time

LOGGED = {"GST_DEBUG": "GST_SCHEDULING:6", "GST_DEBUG_NO_COLOR": "1"}
HANDED = re.compile(r"^(\d+:\d+:[\d.]+) .*<(video-convert|encoder|video-level|sink):sink> calling chainfunction .* pts (\d+:\d+:[\d.]+)")
STAMP = re.compile(r"^(\d+:\d+:[\d.]+) ")


def millis(text):
    hours, minutes, seconds = text.split(":")
    return round((int(hours) * 3600 + int(minutes) * 60 + float(seconds)) * 1000, 3)


class Tail(threading.Thread):
    """Reads a log as it is written, and so learns when its clock began on this program's own (time.monotonic)."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.path, self.begun, self.camera, self.over = path, None, None, False
        self.start()

    def run(self):
        while not self.path.exists() and not self.over:
            time.sleep(0.0005)
        if self.over:
            return
        with open(self.path, errors="replace") as log:
            rest = ""
            while not self.over:
                text = log.read()
                now = time.monotonic()
                lines = (rest + text).split("\n")
                rest = lines.pop()
                for line in lines[-1:]:
                    if found := STAMP.match(line):
                        begun = now - millis(found[1]) / 1000
                        self.begun = begun if self.begun is None else min(self.begun, begun)
                if self.camera is None:
                    self.camera = next((millis(found[1]) / 1000 for line in lines if (found := HANDED.match(line)) and found[2] == "video-convert"), None)
                time.sleep(0.0005)

    def first_picture(self):
        """When the camera's first picture was handed over, by time.monotonic."""
        self.over = True
        self.join()
        return self.begun + self.camera


def added_latency(log):
    """Milliseconds that each frame took from the source's handing it over to the socket, without the encoder's own; and from the
    encoder to the socket alone."""
    handed = {}
    for line in open(log, errors="replace"):
        if found := HANDED.match(line):
            at, element, pts = found.groups()
            handed.setdefault(element, {}).setdefault(millis(pts), millis(at))
    convert, encoder, coded, sink = (handed.get(name, {}) for name in ("video-convert", "encoder", "video-level", "sink"))
    # The encoder counts from 1000 hours on; its first frame is the first that it was given.
    shift = min(coded) - min(encoder)
    coded = {round(pts - shift, 3): at for pts, at in coded.items()}
    both = [(encoder[key] - convert[key], sink[key] - coded[key])
            for key in coded if key in sink and key in encoder and key in convert]
    if len(both) < 100:
        raise SystemExit(f"only {len(both)} frames could be followed in {log}")
    both = both[30:]  # the start is another figure's matter
    return [before + behind for before, behind in both], [behind for _, behind in both]
