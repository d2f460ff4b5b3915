"""A sender in one network namespace and its server in another, and what the growing recording there tells: for
benches/link and benches/uplink."""

import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from harness import ROOT, Box, ffmpeg, gst, percentile, quiet, start, wait

SIZE, BUFFER = (1280, 720), 131072
FAR_ADDRESS = "10.9.1.2"
FAR = ["ip", "netns", "exec", "far"]


def run(*words):
    subprocess.run(words, check=True)


def be_alone():
    """Starts this program anew in namespaces of its own, whose network nothing but the bench has."""
    if os.environ.get("INSIDE") == "1":
        return
    os.environ["INSIDE"] = "1"
    alone = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    os.execvp("unshare", [*alone, sys.executable, *sys.argv])


def make_namespaces(*names):
    os.makedirs("/run/netns", exist_ok=True)
    run("mount", "-t", "tmpfs", "tmpfs", "/run/netns")
    run("ip", "link", "set", "lo", "up")
    for name in names:
        run("ip", "netns", "add", name)
        run("ip", "netns", "exec", name, "ip", "link", "set", "lo", "up")


def make_footage(home, seconds):
    """Real footage, which fills its bitrate; long enough that nobody has to begin it again."""
    footage = home / "footage.mp4"
    short = ROOT / "tests/media/bigbuckbunny-720p25-5s.mp4"
    run("ffmpeg", "-loglevel", "error", "-stream_loop", str(int(seconds / 5) + 6), "-i", short, "-c", "copy", footage)
    return footage


class Tags:
    """Times of the video in a recording that grows, in seconds: FLV's tags, or the PES packets of MPEG-TS."""

    def __init__(self, path):
        self.path, self.at, self.times = path, 13 if path.suffix == ".flv" else 0, []

    def read(self):
        try:
            with open(self.path, "rb") as file:
                file.seek(self.at)
                data = file.read()
        except OSError:
            return
        (self.flv if self.path.suffix == ".flv" else self.ts)(data)

    def flv(self, data):
        at = 0
        while at + 16 <= len(data):
            size = int.from_bytes(data[at + 1 : at + 4], "big")
            if at + 15 + size > len(data):
                break
            if data[at] == 9 and data[at + 12] == 1:
                self.times.append((int.from_bytes(data[at + 4 : at + 7], "big") | data[at + 7] << 24) / 1000)
            at += 15 + size
        self.at += at

    def ts(self, data):
        for at in range(0, len(data) // 188 * 188, 188):
            packet = data[at : at + 188]
            payload = packet[5 + packet[4] :] if packet[3] & 0x20 else packet[4:]
            if packet[1] & 0x40 and payload[:3] == b"\0\0\1" and payload[3] >> 4 == 0xE and payload[7] & 0x80:
                p = payload[9:14]
                ticks = (p[0] >> 1 & 7) << 30 | p[1] << 22 | p[2] >> 1 << 15 | p[3] << 7 | p[4] >> 1
                self.times.append(ticks / 90_000)
        self.at += len(data) // 188 * 188

    def missing(self):
        """Frames that the times leave out: over 150 ms without one, at 30 frames a second."""
        times = sorted(self.times)
        return sum(round((late - early) * 30) - 1 for early, late in zip(times, times[1:]) if late - early > 0.15)


class Server:
    """nginx-rtmp, or an srt-live-transmit for each sender, in the namespace "far"."""

    def __init__(self, home, scheme, latency=1000):
        self.home, self.scheme, self.latency, self.receiver = home, scheme, latency, None
        if scheme == "rtmp":
            (home / "nginx.conf").write_text(
                f"""load_module /usr/lib/nginx/modules/ngx_rtmp_module.so;
daemon off; pid {home}/pid; error_log {home}/error.log; worker_processes 1; events {{}}
rtmp {{ server {{ listen {FAR_ADDRESS}:1935; application live {{ live on; record all; record_path {home}; record_suffix -%s.flv; record_unique on; }} }} }}"""
            )
            nginx = ["/usr/sbin/nginx", "-c", f"{home}/nginx.conf", "-e", f"{home}/error.log"]
            start([*FAR, *nginx], stderr=subprocess.DEVNULL)
            wait("nginx listens", (home / "pid").exists)

    def expect(self, name):
        """Where a sender of this name is to send to."""
        if self.scheme == "rtmp":
            return f"rtmp://{FAR_ADDRESS}/live/{name}"
        at = f"srt://{FAR_ADDRESS}:9000?mode=listener&latency={self.latency}"
        listen = f"exec srt-live-transmit -q '{at}' file://con > {self.home}/{name}.ts"
        self.receiver = start([*FAR, "sh", "-c", listen], stderr=subprocess.DEVNULL)
        sockets = [*FAR, "ss", "-Hlun", "sport = :9000"]
        wait("srt-live-transmit listens", lambda: subprocess.run(sockets, capture_output=True).stdout)
        return f"srt://{FAR_ADDRESS}:9000?mode=caller&latency={self.latency}"

    def recording(self, name):
        """What the sender's recording has, once something has come."""
        if self.scheme == "rtmp":
            path = wait(f"{name} arrives", lambda: next(iter(self.home.glob(f"{name}-*.flv")), None), 60)
        else:
            path = self.home / f"{name}.ts"
        tags = Tags(path)
        wait(f"{name} arrives", lambda: (tags.read(), len(tags.times) > 10)[1], 60)
        return tags

    def end(self):
        """Ends what is there for one sender."""
        if self.receiver:
            self.receiver.terminate()
            self.receiver.wait()
            self.receiver = None


class Sender:
    """tallybox, which may use up to 6000 kbit/s and has to find out what passes; or a peer at a fixed bitrate."""

    def __init__(self, name, program, home, url, footage, peer_kbps, latency=1000):
        self.home, self.box, self.peer = home / "box", None, None
        if name == "tallybox":
            media = f'source = "file"\ndevice = "{footage}"'
            self.home.mkdir()
            self.box = Box(program, self.home, url, size=SIZE, kbps=6000, video=media, audio=media, TALLYBOX_LOG="debug")
            self.box.touch(0.1)
        else:
            make = self.gst if name == "gst-launch" else self.ffmpeg
            self.peer = quiet(make(url, footage, peer_kbps, latency))

    @staticmethod
    def gst(url, footage, kbps, _latency):
        source = (f"filesrc location={footage} ! decodebin name=d d. ! identity sync=true", "d. ! identity sync=true")
        if url.startswith("srt"):
            forms = ("stream-format=byte-stream,alignment=au", "stream-format=adts", "mpegtsmux name=mux alignment=7")
            return gst(f"srtsink uri={url} sync=false async=false", SIZE, kbps, source, *forms)
        return gst(f"rtmp2sink location={url} sync=false async=false", SIZE, kbps, source)

    @staticmethod
    def ffmpeg(url, footage, kbps, latency):
        if url.startswith("srt"):
            # In microseconds there.
            url = url.replace(f"latency={latency}", f"latency={latency * 1000}&pkt_size=1316")
            return ffmpeg(["-f", "mpegts", url], SIZE, kbps, str(footage))
        return ffmpeg(["-f", "flv", url], SIZE, kbps, str(footage))

    def end(self):
        """Ends it; how many frames the box itself dropped, or None."""
        if not self.box:
            self.peer.kill()
            self.peer.wait()
            return None
        stream = self.box.control.status.get("stream") or {}
        self.box.stop()
        self.box.end()
        return stream.get("dropped-frames")


class Watch:
    """How far a recording lags the clock, and what has passed the link, ten times a second; (time, value) each."""

    def __init__(self, tags, passed):
        self.tags, self.passed, self.lags, self.moments = tags, passed, [], []
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()

    def watch(self):
        while not self.over.wait(0.1):
            self.tags.read()
            self.lags.append((time.time(), time.time() - self.tags.times[-1]))
            self.moments.append((time.time(), self.passed()))

    def end(self):
        self.over.set()
        self.thread.join()

    def behind(self, begin, normal):
        """The lags from a time on, less what was normal."""
        return [lag - normal for at, lag in self.lags if at >= begin]

    def normal(self, begin, until):
        """The usual lag between two times."""
        return percentile([lag for at, lag in self.lags if begin < at < until], 0.5)


def home_folder():
    """A folder that nginx's worker, who is not root, may write in."""
    home = Path(tempfile.mkdtemp(prefix="tallybox-bench-"))
    home.chmod(0o777)
    return home
