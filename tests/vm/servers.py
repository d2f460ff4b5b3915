"""The box's real peers on the host's side of the wire: nginx as ingest, mosquitto as broker, and judges of what
came."""
import json
import subprocess
import threading
import time
from array import array
from pathlib import Path

from waiting import wait
from netns import HOST

SHIPPED = Path(__file__).resolve().parent.parent.parent / "config/servers"
# What the guest's /etc/hosts calls this side.
NAME = "peers"
# The broker for a box whose clock says that no certificate is valid yet: see `let_in`.
PLAIN = {"url": f"mqtt://{HOST}", "allow-plain": True, "ca-file": None, "client-cert": None, "client-key": None}


class Peers:
    """Ingest and broker on the host's side, and an operator who hears everything."""

    def __init__(self, work):
        self.work = Path(work)
        self.certificates = self.work / "certs"
        self.records = self.work / "records"
        self.records.mkdir(mode=0o777)
        self.records.chmod(0o777)
        # A box that lost power never said goodbye: nginx would keep its place, and refuse it, for a minute and a half.
        # One that had not sent a picture yet is not idle to nginx, and is found out by pings alone. nginx's workers are
        # not root, and a temporary directory is root's alone.
        self.work.chmod(0o755)
        (self.work / "nginx.conf").write_text(
            f"""load_module /usr/lib/nginx/modules/ngx_rtmp_module.so;
daemon off; pid {self.work}/nginx.pid; error_log {self.work}/nginx.log; events {{}}
rtmp {{ server {{ listen {HOST}:1935; ping 10s; ping_timeout 15s; application live {{ live on; drop_idle_publisher 10s; record all; record_path {self.records}; record_unique on; allow play all; }} }} }}
"""
        )
        self.certify()
        self.configure_broker()
        self.children = {}
        self.heard = []
        self.start("mosquitto")
        self.start("nginx")
        self.closed = False
        threading.Thread(target=self.hear, daemon=True).start()
        self.heeds()

    def certify(self):
        certificates = [("server", NAME), ("operator", "operator"), ("operator", "releases"), ("client", "vm-box"), ("client", "vm-box-1"), ("client", "vm-box-2")]
        for kind, name in certificates:
            subprocess.run([SHIPPED / "certificates", self.certificates, kind, name], check=True, capture_output=True)
        (self.work / "acl").write_text((SHIPPED / "tallybox.acl").read_text())

    def configure_broker(self, anybody=False):
        """mosquitto as it is shipped, with certificates from the shipped script; `anybody`: and for anybody."""
        text = (SHIPPED / "mosquitto.conf").read_text()
        for shipped, own in (("listener 8883", f"listener 8883 {HOST}"), ("listener 8884", f"listener 8884 {HOST}"),
                             ("/etc/mosquitto/certs/server", f"{self.certificates}/{NAME}"), ("/etc/mosquitto/certs/", f"{self.certificates}/"),
                             ("/etc/mosquitto/tallybox.acl", f"{self.work}/acl")):
            assert shipped in text, f"{shipped} in mosquitto.conf"
            text = text.replace(shipped, own)
        if anybody:
            text = "".join(line for line in text.splitlines(True) if not line.startswith(("allow_anonymous", "acl_file")))
            text = f"allow_anonymous true\n{text}listener 1883 {HOST}\n"
        (self.work / "mosquitto.conf").write_text(f"user root\n{text}")

    def let_in(self, anybody):
        """Begins the broker anew: for those with a certificate, or without encryption for everybody else too."""
        self.stop("mosquitto")
        self.configure_broker(anybody)
        self.start("mosquitto")
        self.heeds()

    def heeds(self):
        """Waits until the operator hears what the broker is told: what comes sooner, nobody could judge."""
        ticket = f"hello-{time.monotonic_ns()}"
        topic = f"tallybox/v1/release/{ticket}"
        wait("the operator hears the broker",
             lambda: self.publish(topic, "-n", role="releases", check=False).returncode == 0 and self.said(ticket, "release"), step=0.2)

    def client(self, program, role="operator"):
        """The beginning of an operator's command. The server's certificate has its name in the guest, not here."""
        own = self.certificates / role
        return [program, "-V", "5", "-q", "1", "-h", HOST, "-p", "8884", "--insecure", "--cafile", str(self.certificates / "ca.pem"),
                "--cert", f"{own}.pem", "--key", f"{own}.key"]

    def publish(self, topic, *what, role="operator", check=True, **more):
        return subprocess.run([*self.client("mosquitto_pub", role), "-t", topic, *what], check=check, capture_output=True, **more)

    def start(self, name):
        command = {
            "nginx": ["nginx", "-p", str(self.work), "-c", str(self.work / "nginx.conf")],
            "mosquitto": ["/usr/sbin/mosquitto", "-c", str(self.work / "mosquitto.conf")],
        }[name]
        log = open(self.work / f"{name}.out", "a")
        self.children[name] = subprocess.Popen(command, stdout=log, stderr=log)

    def stop(self, name):
        child = self.children.pop(name)
        child.terminate()
        child.wait()

    def hear(self):
        """Hears the broker for as long as there are scenarios: mosquitto_sub ends ("Protocol error") where the broker
        ends in the middle of its connection's beginning."""
        while not self.closed:
            command = [*self.client("mosquitto_sub"), "-t", "tallybox/v1/#", "-F", "%t %x"]
            self.operator = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            self.listen()
            self.operator.wait()
            time.sleep(0.2)

    def listen(self):
        for line in self.operator.stdout:
            # In hexadecimal: a signed note has several lines.
            topic, payload = line.rstrip("\n").split(" ", 1)
            payload = bytes.fromhex(payload).decode()
            try:
                payload = json.loads(payload)
            except ValueError:
                pass  # availability is a word
            _, _, box, name = topic.split("/", 3)
            self.heard.append((box, name, payload))

    def said(self, name, box="vm-box"):
        """What a box published under a name, in order."""
        return [payload for teller, topic, payload in list(self.heard) if (teller, topic) == (box, name)]

    def events(self, box="vm-box"):
        return self.said("event", box)

    def state(self):
        states = self.said("state")
        return states[-1]["phase"] if states else None

    def command(self, verb, box="vm-box", life=60):
        """Sends a command; returns its answer."""
        number = f"vm-{time.monotonic_ns()}"
        at = lambda seconds: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))
        payload = json.dumps({"id": number, "issued-at": at(0), "expires-at": at(life)})
        self.publish(f"tallybox/v1/{box}/cmd/{verb}", "-m", payload)
        answer = lambda: next((reply for reply in self.said("reply", box) if reply.get("id") == number), None)
        return wait(f"an answer to {verb}", answer)

    def recordings(self):
        return sorted(self.records.glob("*.flv"), key=lambda file: file.stat().st_mtime)

    def received(self):
        return sum(file.stat().st_size for file in self.recordings())

    def close(self):
        self.closed = True
        self.operator.kill()
        for child in self.children.values():
            child.terminate()
            child.wait()


def ffprobe(file, entries, select=None):
    """ffprobe's own judgement of a file, as JSON."""
    command = ["ffprobe", "-v", "error", "-of", "json", "-show_entries", entries]
    command += ["-select_streams", select] if select else []
    return json.loads(subprocess.run([*command, str(file)], capture_output=True, text=True, check=True).stdout or "{}")


def volume(file):
    """Loudness of a file's sound in dB, as ffmpeg measures it."""
    said = subprocess.run(["ffmpeg", "-hide_banner", "-i", str(file), "-af", "volumedetect", "-vn", "-f", "null", "-"], capture_output=True, text=True).stderr
    return next((float(line.split("mean_volume:")[1].split()[0]) for line in said.splitlines() if "mean_volume:" in line), -91.0)


def silences(file):
    """How long each stretch of silence in a recording is, in seconds, up to its end."""
    said = subprocess.run(["ffmpeg", "-hide_banner", "-i", str(file), "-af", "silencedetect=noise=-70dB:d=1", "-vn", "-f", "null", "-"],
                          capture_output=True, text=True).stderr
    return [float(line.split("silence_duration:")[1]) for line in said.splitlines() if "silence_duration:" in line]


def pitch(file):
    """The frequency of a recording's tone in Hz, and how many seconds of it there are: how often it rises from well
    below zero, from the first time to the last. The first second, in which a session begins, does not count."""
    rate, below = 48_000, -1000
    raw = subprocess.run(["ffmpeg", "-v", "error", "-i", str(file), "-vn", "-ac", "1", "-ar", str(rate), "-f", "s16le", "-"], capture_output=True, check=True).stdout
    rising, was_below = [], False
    for at, sample in enumerate(array("h", raw)[rate:]):
        if was_below and sample >= 0:
            rising.append(at)
        was_below = sample < below or was_below and sample < 0
    assert len(rising) > 2, "there is no tone"
    span = (rising[-1] - rising[0]) / rate
    return (len(rising) - 1) / span, span
