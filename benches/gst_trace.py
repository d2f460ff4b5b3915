"""When each frame was handed to which element, from GStreamer's own log, and when it arrived at the server. Neither
program needs any measuring code."""

import re
import threading
import time

LOGGED = {"GST_DEBUG": "GST_SCHEDULING:6", "GST_DEBUG_NO_COLOR": "1"}
HANDED = re.compile(
    r"^(\d+:\d+:[\d.]+) .*<(video-convert|encoder|video-level):sink> calling chainfunction "
    r".* pts (\d+:\d+:[\d.]+), .* size (\d+)"
)
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
                    self.camera = next(
                        (
                            millis(found[1]) / 1000
                            for line in lines
                            if (found := HANDED.match(line)) and found[2] == "video-convert"
                        ),
                        None,
                    )
                time.sleep(0.0005)

    def log_began(self):
        """When the log's clock began, by time.monotonic. It ends the reading."""
        self.over = True
        self.join()
        return self.begun

    def first_picture(self):
        """When the camera's first picture was handed over, by time.monotonic. It ends the reading."""
        return self.log_began() + self.camera


def alignment(coded, recorded):
    """How many coded frames came before the first that was recorded: where the sizes fit. Times do not help, since
    flvmux moves them."""

    def misfit(before):
        pairs = list(zip(coded[before:], recorded))
        return sum(abs(ours - theirs) for ours, theirs in pairs) / len(pairs)

    best, *others = sorted(range(max(len(coded) - len(recorded), 0) + 1), key=misfit)
    if misfit(best) > 100 or any(misfit(other) < 10 * misfit(best) for other in others[:1]):
        raise SystemExit(f"recorded frames are not those of the log: {misfit(best):.0f} bytes apart on average")
    return best


def added_latency(log, log_began, recording, arrivals):
    """Milliseconds that each frame took from the source's handing it over until the server had written it, without the
    encoder's own; and from the encoder to the server alone."""
    handed = {"video-convert": {}, "encoder": {}, "video-level": {}}
    sizes = {}
    for line in open(log, errors="replace"):
        if found := HANDED.match(line):
            at, element, pts, size = found.groups()
            handed[element].setdefault(millis(pts), millis(at))
            if element == "video-level":
                sizes.setdefault(millis(pts), int(size))
    convert, encoder, coded = handed.values()
    # x264enc counts from 1000 hours on; its first frame is the first that it was given.
    shift = min(coded) - min(encoder)
    order = sorted(coded)
    before = alignment([sizes[pts] for pts in order], [size for _, _, size in recording.frames])
    both = []
    for number, arrived in arrivals.items():
        if number + before >= len(order):
            continue
        pts = order[number + before]
        given = round(pts - shift, 3)
        if given in encoder and given in convert:
            both.append((encoder[given] - convert[given], (arrived - log_began) * 1000 - coded[pts]))
    if len(both) < 100:
        raise SystemExit(f"only {len(both)} frames could be followed in {log}")
    return [ahead + behind for ahead, behind in both], [behind for _, behind in both]
