"""A box whose data and configuration lie on a disk that logs each write, and the marks that say what had happened by
then."""

import shutil
import socket
import subprocess
import threading
import time

from box import HERE, MQTT_KEY, Box
from netns import HOST
from waiting import wait

DATA, LOG, PLACE = "ubdb", "ubdc", "/mnt/kept"
MEGABYTES, LOG_MEGABYTES = 64, 2048
# Only what the box syncs gets to the disk: else ext4 syncs a file that is renamed over another, and all after 5 s.
OPTIONS = "noatime,noauto_da_alloc,commit=600"
# `setup` asks no systemd where it sets up a machine below another root.
ROOT = "/run/box-root"
# It names the file of the agent's key, which an unbinding deletes.
DROP_IN = "/etc/systemd/system/tallybox-agent.service.d/key.conf"
# The broker's answers are held back for so long, in seconds: a mark for what the broker has heard is in the log before
# anything that the box writes because of the answer. That would make the entries before it durable by chance.
LATE = 0.4
RELAY = 8886
CONFIG = f"""[device]
id = "vm-box"
[panel]
backend = "sim"
[video]
source = "test"
width = 320
height = 180
fps = 5
[audio]
source = "test"
[ingest]
url = "rtmp://{HOST}/live/${{STREAM_KEY}}"
[mqtt]
url = "mqtts://peers:{RELAY}"
ca-file = "/etc/tallybox/ca.pem"
client-cert = "/etc/tallybox/client.pem"
client-key = "${{MQTT_KEY}}"
[privacy]
allowed-ingest-hosts = ["{HOST}"]
"""
# Guard, agent, and the helper of an unbinding, as their units would run them: a role that ends is started anew.
START = """export STREAM_KEY=the-shops-key MQTT_KEY="$(cat /etc/tallybox/client.key)" {more}
rm -f /run/roles
for role in 'guard --credentials-helper' agent; do
  setsid sh -c "while :; do tallybox $role; sleep 1; done" >>/run/${{role%% *}}.log 2>&1 </dev/null &
  echo $! >>/run/roles
done
unset LD_PRELOAD
if [ ! -e /run/helper.log ]; then
  setsid sh -c 'while sleep 0.2; do
    [ ! -e /var/lib/tallybox/credentials-erasure ] || tallybox privacy erase-credentials
  done' >/run/helper.log 2>&1 </dev/null &
fi
"""
STOP = """for group in $(cat /run/roles); do kill -- -$group; done
for group in $(cat /run/roles); do while kill -0 -- -$group 2>/dev/null; do sleep 0.05; done; done
"""


class Relay:
    """Connections to the broker, on which the broker's answers come late."""

    def __init__(self):
        self.socket = socket.create_server((HOST, RELAY))
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                box, _ = self.socket.accept()
            except OSError:
                return  # closed
            try:
                broker = socket.create_connection((HOST, 8883))
            except OSError:
                box.close()
                continue
            for source, target, late in ((box, broker, 0), (broker, box, LATE)):
                threading.Thread(target=self.forward, args=(source, target, late), daemon=True).start()

    @staticmethod
    def forward(source, target, late):
        try:
            while data := source.recv(65536):
                # Not a wait for something: this is the delay itself.
                time.sleep(late)
                target.sendall(data)
        except OSError:
            pass
        for end in (source, target):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # the other direction was first

    def close(self):
        # A close alone would not end the accept that waits: it would hold the port.
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


class Marks:
    """What happened, each as a mark in the disk's log: `facts[n]` belongs to the mark with the text `n`."""

    def __init__(self, box):
        self.facts, self.known, self.lock = [], 0, threading.Lock()
        command = [*box.ssh(), f"root@{box.address}", "/rig/logged_disk marks"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        threading.Thread(target=self.read, daemon=True).start()
        self.note("begin")

    def read(self):
        for line in self.process.stdout:
            self.known = int(line) + 1

    def send(self, *fact):
        """Marks that something happened; the number of marks."""
        with self.lock:
            self.facts.append(fact)
            number = len(self.facts)
            self.process.stdin.write(f"{number - 1}\n")
            self.process.stdin.flush()
        return number

    def note(self, *fact):
        """The same; returns when the mark is in the log: what is done next comes behind it."""
        number = self.send(*fact)
        wait(f"the mark {fact} is in the log", lambda: self.known >= number, 60, 0.002)

    def close(self):
        self.process.stdin.close()
        self.process.wait(30)


class LoggedBox(Box):
    """The box's own programs on a machine without systemd, with all that they keep on the logged disk."""

    def __init__(self, work, package, preload=""):
        super().__init__(work)
        self.more = f"LD_PRELOAD={preload}" if preload else ""
        self.rig = self.work / "rig"
        self.rig.mkdir()
        self.base, self.data, self.writes = (self.work / f"{name}.img" for name in ("base", "data", "writes"))
        for name in (work / "logged_disk", work / "unsynced.so", HERE / "guest-files/bare"):
            shutil.copy(name, self.rig)
        # hostfs shows the machine what lies below, and no link out of it.
        shutil.copytree(package, self.rig / "package", symlinks=True)
        for path, size in ((self.base, MEGABYTES), (self.writes, LOG_MEGABYTES)):
            with open(path, "wb") as file:
                file.truncate(size << 20)
        lazy = "lazy_itable_init=0,lazy_journal_init=0"
        subprocess.run(["/sbin/mkfs.ext4", "-q", "-F", "-b", "4096", "-m", "0", "-E", lazy, self.base], check=True)
        shutil.copyfile(self.base, self.data)

    def begin(self):
        """Boots it, and starts the roles on an empty disk, with a configuration."""
        mount = f"mkdir -p /rig; mount -t hostfs none /rig -o {self.rig}; exec /rig/bare"
        self.boot(f"{DATA}={self.data}", f"{LOG}={self.writes}", "init=/bin/sh", "--", "-c", f'"{mount}"')
        node = self.sh(f"/rig/logged_disk create /dev/{DATA} /dev/{LOG}")
        self.sh(
            f"set -e; mkdir -p {PLACE} /etc/tallybox /var/lib/tallybox {ROOT}/etc/tallybox {ROOT}/etc/systemd/system; "
            f"mount -o {OPTIONS} {node} {PLACE}; mkdir -p {PLACE}/var/agent {PLACE}/var/footage {PLACE}/etc/conf.d; "
            f"mount --bind {PLACE}/var /var/lib/tallybox; mount --bind {PLACE}/etc /etc/tallybox; "
            f"mount --bind {PLACE}/etc {ROOT}/etc/tallybox"
        )
        self.identify()
        self.write("/etc/tallybox/tallybox.toml", CONFIG)
        self.write(DROP_IN, MQTT_KEY)

    def start(self):
        self.sh(START.format(more=self.more))
        wait("the guard answers", self.phase, 120, 0.2)

    def stop(self):
        self.sh(STOP)

    def end(self):
        """Ends the disk's log."""
        self.stop()
        self.sh(f"set -e; umount {ROOT}/etc/tallybox /etc/tallybox /var/lib/tallybox {PLACE}")
        self.sh("/rig/logged_disk remove; sync")
        self.cut()

    def log(self, lines=12):
        return self.sh(f"tail -n {lines} /run/guard.log /run/agent.log /run/helper.log", check=False)
