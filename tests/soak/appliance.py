"""What the soak runs on: a box with the simulated panel, its guard's control socket, nginx and mosquitto; and what its
roles use."""
import atexit
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

from waiting import free_port, wait


def start(command, **more):
    """A program in a process group of its own, so that it can be frozen or killed with its workers; it ends with this
    one."""
    process = subprocess.Popen(command, process_group=0, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, **more)
    atexit.register(lambda: process.poll() is None and os.killpg(process.pid, signal.SIGKILL))
    return process


class ControlSocket:
    """The guard's socket, subscribed: the latest status, and calls. While this program is stopped no time passes in
    here."""

    def __init__(self, path):
        self.path, self.socket, self.connections = path, None, 0
        self.status, self.answers, self.calls, self.changed = {}, {}, 0, threading.Condition()
        self.connect()
        threading.Thread(target=self.listen, daemon=True).start()

    def connect(self):
        fresh = socket.socket(socket.AF_UNIX)
        fresh.connect(str(self.path))
        self.socket = fresh
        self.send(0, {"ask": "subscribe", "entries": False, "after": None})
        with self.changed:
            self.connections += 1
            self.changed.notify_all()

    def send(self, number, request):
        text = json.dumps({"call": number, "request": request}).encode()
        self.socket.sendall(struct.pack(">I", len(text)) + text)

    def read(self, length):
        data = b""
        while len(data) < length:
            piece = self.socket.recv(length - len(data))
            if not piece:
                raise EOFError
            data += piece
        return data

    def listen(self):
        while True:
            try:
                while True:
                    message = json.loads(self.read(struct.unpack(">I", self.read(4))[0]))
                    with self.changed:
                        if message["tell"] == "status":
                            self.status = message
                        elif message["tell"] == "answer" and message["call"]:
                            self.answers[message["call"]] = message["answer"]
                        self.changed.notify_all()
            except (EOFError, OSError):
                pass
            try:
                # A guard that is there hangs up on whoever does not read: this program was stopped.
                self.connect()
            except OSError:
                with self.changed:
                    self.status = {}
                    self.changed.notify_all()
                return

    def wait(self, test, limit):
        """Whether `test` came true within `limit` seconds; the caller holds `changed`. In small parts, so that what
        happened while this program was stopped is heard before time is up."""
        for part in range(int(limit) + 1):
            if self.changed.wait_for(test, min(limit - part, 1)):
                return True
        return False

    def call(self, request, limit=30):
        with self.changed:
            self.calls += 1
            number = self.calls
        while True:
            connection = self.connections
            try:
                self.send(number, request)
            except OSError:
                pass
            with self.changed:
                if not self.wait(lambda: number in self.answers or self.connections != connection, limit):
                    raise SystemExit(f"soak: the guard does not answer {request}")
                if number in self.answers:
                    answer = self.answers.pop(number)
                    break
        if answer != "done":
            raise SystemExit(f"soak: {request}: {answer}")

    def until(self, what, test, limit=60):
        """Waits for a status that passes `test`."""
        with self.changed:
            if not self.wait(lambda: test(self.status), limit):
                raise SystemExit(f"soak: {what}: not within {limit} s, but {self.status}")
            return self.status

    def phase(self, *names, limit=60):
        return self.until(f"phase {' or '.join(names)}", lambda status: status.get("phase") in names, limit)

    def button(self, down, mute=False):
        self.call({"ask": "mute-button" if mute else "button", "down": down})


class Finger:
    """The finger on the record button, in a process of its own."""

    def __init__(self, path):
        command = [sys.executable, Path(__file__).with_name("button.py"), path]
        self.process = subprocess.Popen(command, process_group=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.down = False

    def say(self, what):
        self.process.stdin.write(f"{what}\n".encode())
        self.process.stdin.flush()

    def touch(self, seconds):
        """Begins a touch."""
        self.say(seconds)
        self.down = True

    def off(self):
        """Returns when the touch is over."""
        if self.down and self.process.stdout.readline() != b"done\n":
            raise SystemExit("soak: the finger is lost")
        self.down = False

    def end(self):
        self.process.stdin.close()
        self.process.wait()


class Box:
    """Guard and agent of one box, started as themselves: each keeps its process from beginning to end."""

    def __init__(self, program, home, ingest, broker="mqtt://127.0.0.1:9", debounce=30, size=(320, 180), kbps=400, video='source = "test"', audio='source = "test"', **environment):
        self.program, self.home, self.config = program, home, home / "tallybox.toml"
        self.config.write_text(f"""[device]
id = "soak-box"
data-dir = "{home}/data"
runtime-dir = "{home}/run"
[panel]
backend = "sim"
debounce = "{debounce}ms"
[video]
{video}
encoder = "x264enc"
width = {size[0]}
height = {size[1]}
bitrate-kbps = {kbps}
[audio]
{audio}
[ingest]
url = "{ingest}"
[mqtt]
url = "{broker}"
telemetry-interval = "1s"
[consent]
max-session = "24h"
""")
        self.log = open(home / "log", "a")
        self.roles = {role: start([program, role, "--config", self.config], stderr=self.log, env=os.environ | environment) for role in ("guard", "agent")}
        path = home / "run" / "guard.sock"
        wait("the guard's socket", path.exists)
        self.control = wait("the guard answers", self.open)
        self.finger = Finger(path)
        # Longer than the debounce, by what a machine with something to do may be late.
        self.felt = (debounce + 3) / 1000
        self.control.phase("idle")

    def open(self):
        path = self.home / "run" / "guard.sock"
        try:
            return ControlSocket(path)
        except OSError:
            return None

    def touch(self, hold=0):
        """A touch of the record button, longer than the debounce. On a machine so busy that the guard heard both its
        edges at once it was none, as a bounce would be: then once more. Returns how many it took."""
        for count in range(1, 10):
            self.finger.touch(max(hold, self.felt))
            self.finger.off()
            with self.control.changed:
                if self.control.wait(lambda: self.control.status.get("phase") != "idle", 1):
                    return count
        raise SystemExit("soak: the guard does not feel the button")

    def stop(self):
        """A touch that ends the session; returns when it is over, and the guard has felt that the finger is gone."""
        # Longer would mean something else, and nothing more happens when a touch that stopped is over.
        self.finger.touch(2)
        self.control.phase("idle")
        self.finger.say("off")
        self.finger.off()
        time.sleep(self.felt)

    def call(self, *arguments):
        return subprocess.run([self.program, *arguments, "--config", self.config], capture_output=True, text=True)

    def use(self):
        """Memory, descriptors and threads of each role that there is."""
        pids = {role: process.pid for role, process in self.roles.items()} | {"capture": self.control.status.get("capture-pid")}
        return {role: found for role, pid in pids.items() if pid and (found := use(pid))}

    def end(self):
        self.finger.end()
        for role in ("guard", "agent"):
            self.roles[role].terminate()
        codes = {role: process.wait(30) for role, process in self.roles.items()}
        if any(codes.values()):
            raise SystemExit(f"soak: the roles ended with {codes}; see {self.home}/log")


def use(pid):
    """Resident, anonymous and proportional memory in KiB, descriptors and threads of a process; None: it is gone."""
    try:
        status = dict(line.split(":", 1) for line in open(f"/proc/{pid}/status"))
        rollup = dict(line.split(":", 1) for line in open(f"/proc/{pid}/smaps_rollup") if ":" in line[:20])
        return {"rss": int(status["VmRSS"].split()[0]), "anon": int(status["RssAnon"].split()[0]), "pss": int(rollup["Pss"].split()[0]),
                "fds": len(os.listdir(f"/proc/{pid}/fd")), "threads": int(status["Threads"])}
    except (OSError, KeyError, ValueError):
        return None


class Servers:
    """nginx with its RTMP module, and mosquitto."""

    def __init__(self, home, record, broker=True):
        self.home, self.records = home, home / "records"
        self.records.mkdir()
        for path in (home, self.records):
            path.chmod(0o777)  # nginx's worker is not root
        self.rtmp, self.mqtt = free_port(), free_port()
        keep = f"record all; record_path {self.records}; record_unique on; record_suffix -%s.flv;" if record else ""
        (home / "nginx.conf").write_text(f"""load_module /usr/lib/nginx/modules/ngx_rtmp_module.so;
daemon off; pid {home}/pid; error_log {home}/nginx.log; worker_processes 1; events {{}}
rtmp {{ server {{ listen 127.0.0.1:{self.rtmp}; ping 10s; application live {{ live on; {keep} }} }} }}
""")
        (home / "mosquitto.conf").write_text(f"listener {self.mqtt} 127.0.0.1\nallow_anonymous true\nuser root\n")
        self.children = {}
        self.start("nginx")
        if broker:
            self.start("mosquitto")

    def start(self, name):
        command = {"nginx": ["/usr/sbin/nginx", "-c", self.home / "nginx.conf", "-e", self.home / "nginx.log"],
                   "mosquitto": ["/usr/sbin/mosquitto", "-c", self.home / "mosquitto.conf"]}[name]
        self.children[name] = start(command, stderr=subprocess.DEVNULL)
        port = {"nginx": self.rtmp, "mosquitto": self.mqtt}[name]
        wait(f"{name} answers", lambda: self.children[name].poll() is None and answers(port))

    def signal(self, name, number):
        os.killpg(self.children[name].pid, number)

    def kill(self, name):
        self.signal(name, signal.SIGKILL)
        self.children.pop(name).wait()

    def end(self):
        for name in list(self.children):
            self.kill(name)


def answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


def compare(first, last, roles):
    """Each role's use: medians of the samples in `last` over those in `first`, as lines of the table. A role without
    samples would be one that nobody judged."""
    median = lambda values: sorted(values)[len(values) // 2]
    rows = []
    for role in roles:
        for what in ("rss", "anon", "pss", "fds", "threads"):
            before, after = ([sample["use"][role][what] for sample in part if role in sample["use"]] for part in (first, last))
            if not before or not after:
                raise SystemExit(f"soak: there are no samples of the {role}'s {what}: {len(before)} before, {len(after)} after")
            rows.append((role, what, median(before), median(after), median(after) / median(before)))
    return rows
