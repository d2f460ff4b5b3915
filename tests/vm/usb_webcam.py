"""A USB webcam with a microphone at the box: crates/usb-webcam on the host's side of the wire, the guest's own
vhci_hcd, uvcvideo and snd-usb-audio on the other. In the guest there is nothing of it but a line of shell."""
import re
import subprocess
import threading
from contextlib import contextmanager
from pathlib import Path

from waiting import wait
from box import REPO
from netns import HOST
from on_air import SPEECH as FILM
from unplug import clock

SOURCES = REPO / "crates/usb-webcam/src"
# By what udev and ALSA call them: the name in by-id without the serial number, and the sound card.
NAMES = {
    "c920": ("046d_HD_Pro_Webcam_C920", "C920"),
    "c270": ("046d_C270_HD_WEBCAM", "WEBCAM"),
    "cheap": ("tallybox_Cheap_Webcam", "Webcam"),
    "h264": ("tallybox_Encoder_Webcam", "Webcam"),
}
# The guest's shell gives its own socket to the kernel; a port is free a moment after its plug was pulled.
PLUG = """exec 3<>/dev/tcp/{host}/{tcp}
until echo '{port} 3 1 3' >/sys/devices/platform/vhci_hcd.0/attach; do sleep 0.05; done 2>/dev/null
exec 3>&-
"""
RAW = {"yuyv": ["-pix_fmt", "yuyv422", "-f", "rawvideo"], "mjpeg": ["-c:v", "mjpeg", "-pix_fmt", "yuvj422p", "-q:v", "4", "-f", "mjpeg"]}
# What the microphone hears.
TONE = 1000


def program(work):
    """The webcam; compiled when it is first needed, by rustc alone: another build may hold cargo's lock."""
    made = work / "usb-webcam"
    if not made.exists():
        rustc = ["rustc", "-O", "--edition", "2024"]
        subprocess.run([*rustc, "--crate-type", "rlib", "--crate-name", "usb_webcam", "-o", work / "libusb_webcam.rlib", SOURCES / "lib.rs"], check=True)
        subprocess.run([*rustc, "--extern", f"usb_webcam={work}/libusb_webcam.rlib", "-o", made, SOURCES / "main.rs"], check=True)
    return made


def ffmpeg(*words):
    subprocess.run(["ffmpeg", "-v", "error", "-y", *map(str, words)], check=True)


def footage(work, shapes, rate):
    """The folder with 4 s of the film in each of these shapes, such as `mjpeg-1280x720`, and a tone at this rate."""
    folder = work / "footage"
    folder.mkdir(exist_ok=True)
    for shape in shapes:
        form, size = shape.split("-")
        if not (folder / shape).exists():
            ffmpeg("-i", FILM, "-an", "-vf", f"fps=15,scale={size.replace('x', ':')}", "-frames:v", "60", *RAW[form], folder / shape)
    if rate and not (folder / f"sound-{rate}").exists():
        ffmpeg("-f", "lavfi", "-i", f"aevalsrc=0.2*sin(2*PI*{TONE}*t):s={rate}:d=1", "-f", "s16le", folder / f"sound-{rate}")
    return folder


class Webcam:
    """One webcam. It is plugged in at a port of the guest's virtual hub, and may be moved to another one."""

    def __init__(self, box, model, shapes=(), serial="4711", sound=48_000, number=0):
        work = box.work.parent
        self.box, self.tcp, self.sound, self.port, self.said = box, 3240 + number, sound, None, []
        name, self.card = NAMES[model]
        self.by_id = f"/dev/v4l/by-id/usb-{name}{'_' if serial else ''}{serial}-video-index0"
        self.words = ("camera-lost", "microphone-lost")
        command = [program(work), f"{HOST}:{self.tcp}", model, footage(work, shapes, sound), "--serial", serial, "--microphone", str(sound or "none")]
        self.process = subprocess.Popen([str(part) for part in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        for line in self.process.stdout:
            self.said.append(line.rstrip("\n").split(" ", 1)[1])

    def order(self, words):
        assert self.process.poll() is None, f"the webcam has gone; it said last: {self.said[-5:]}"
        self.process.stdin.write(words + "\n")
        self.process.stdin.flush()

    def by_path(self, port):
        """The camera's name at a port, whichever camera is there."""
        return f"/dev/v4l/by-path/platform-vhci_hcd.0-usb-0:{port + 1}:1.0-video-index0"

    def plug(self, port=0):
        """Puts the plug in; when the devices were there, by the guest's clock."""
        self.port = port
        there = f"[ -e {self.by_path(port)} ]"
        if self.sound:
            there += f" && [ -e /dev/snd/by-path/platform-vhci_hcd.0-usb-0:{port + 1}:1.2 ]"
        script = PLUG.format(host=HOST, tcp=self.tcp, port=port)
        return float(self.box.sh("timeout 60 bash -s", stdin=f"{script}until {there}; do sleep 0.02; done; cut -d' ' -f1 /proc/uptime\n"))

    def push(self, box):
        """Puts the plug back into the same port."""
        return self.plug(self.port)

    def pull(self, box):
        """Pulls the plug, of camera and microphone at once; when that was, by the guest's clock."""
        at = clock(box)
        self.order("unplug")
        return at

    def lit(self):
        """The mode in which the camera gives pictures, or None: what the lamp beside the lens of a real one shows."""
        last = next((what for what in reversed(self.said) if what.startswith(("camera", "plug"))), "")
        return last.split()[1] if last.startswith("camera ") and not last.startswith("camera off") else None

    def settings(self, width=640, height=360, fps=15, device=None, sound=None):
        """What to configure for this camera and microphone."""
        video = {"width": width, "height": height, "fps": fps, "device": device or self.by_id}
        return {"video": video, "audio": {"device": sound or f"plughw:CARD={self.card}"} if self.sound else {"source": "none", "device": None}}

    def close(self):
        self.process.kill()
        self.process.wait()


@contextmanager
def webcam(box, model, **more):
    """A webcam that is plugged in, and after which the box has its own camera again."""
    camera = Webcam(box, model, **more)
    try:
        wait("the webcam listens", lambda: listens(camera), 10)
        camera.plug(more.get("number", 0))
        yield camera
    finally:
        camera.close()
        box.configure()
        box.until("idle")


def listens(camera):
    """Whether the webcam can be plugged in. A connection would be a plug."""
    assert camera.process.poll() is None, "the webcam ended"
    return re.search(rf"^ *\d+: [0-9A-F]+:{camera.tcp:04X} 00000000:0000 0A", Path("/proc/net/tcp").read_text(), re.MULTILINE)
