"""A virtual box: user-mode Linux on a disk of its own, reached over ssh as a box in a shop would be."""
import os
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from waiting import wait
from netns import HOST, address


class Machine:
    """One machine. Its disk holds what differs from the image it began with, so that a new one costs nothing."""

    def __init__(self, work, image, kernel, key, disk=None, seat=0):
        self.work = Path(tempfile.mkdtemp(dir=work, prefix="m"))
        self.image, self.kernel, self.key = image, kernel, key
        self.seat, self.address = seat, address(seat)
        self.disk = self.work / "disk.cow"
        if disk:
            subprocess.run(["cp", "--sparse=always", disk, self.disk], check=True)
        self.process = None

    def switch_on(self, *more):
        """Switches the power on."""
        self.console = open(self.work / "console.log", "ab")
        self.begun = time.monotonic()
        # HOME is where the kernel keeps its control socket. The camera is a webcam; its other input is at the end of a
        # cable from the test driver's output, so that footage can be shown to it.
        self.process = subprocess.Popen(
            [self.kernel, f"ubd0={self.disk},{self.image}", "root=/dev/ubda", "rw", "mem=1024M", "con=null", "con0=null,fd:1", "ssl=null",
             "console=tty0", "quiet", "panic=-1", "systemd.show_status=0", "umid=box", "vivid.node_types=0x0101",
             "vivid.num_inputs=2", "vivid.input_types=0x0c", "vivid.num_outputs=1", "vivid.output_types=1",
             f"vec0:transport=tap,ifname=tap{self.seat},depth=64,gro=1", f"ip={self.address}::{HOST}:255.255.255.0::vec0:none", *more],
            stdin=subprocess.DEVNULL, stdout=self.console, stderr=self.console, start_new_session=True,
            env={**os.environ, "HOME": str(self.work), "TMPDIR": "/dev/shm"})

    def boot(self, *more):
        """Switches the power on, and returns when a command can be given."""
        self.switch_on(*more)
        # An ssh that asks before there is a network sits for seconds on an answer that does not come.
        wait("the guest is on the network", lambda: self.alive() and self.listens(), 180, 0.1)
        wait("the guest answers over ssh", lambda: self.alive() and self.ok("true", timeout=20), 180, 0.2)

    def listens(self):
        try:
            socket.create_connection((self.address, 22), 0.3).close()
        except OSError:
            return False
        return True

    def order(self, command):
        """An order to the machine itself, over the kernel's control socket, as `plug` below."""
        answers = self.work / "order"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as console:
            console.bind(str(answers))
            console.settimeout(20)
            # magic, version, length, and the order in a field of 512 bytes
            console.sendto(struct.pack("=III512s", 0xCAFEBABE, 2, len(command), command.encode()), str(self.work / ".uml/box/mconsole"))
            failed, _, length = struct.unpack("=III", (answer := console.recv(1024))[:12])
            answers.unlink()
            assert not failed, f"{command}: {answer[12:12 + length].decode(errors='replace')}"

    def plug(self, name, file):
        """A disk is put in while the machine runs, and is /dev/`name` then."""
        self.order(f"config {name}={file}")

    def unplug(self, name):
        self.order(f"remove {name}")

    def alive(self):
        assert self.process.poll() is None, f"the machine went off: {self.console_tail()}"
        return True

    def console_tail(self):
        return (self.work / "console.log").read_text(errors="replace")[-600:]

    def ssh(self, program="ssh"):
        """The beginning of a command; connections are kept open, because each costs the guest half a second."""
        return [program, "-i", self.key, "-oStrictHostKeyChecking=no", "-oUserKnownHostsFile=/dev/null", "-oLogLevel=ERROR", "-oBatchMode=yes",
                "-oConnectTimeout=5", "-oControlMaster=auto", f"-oControlPath={self.work}/ssh", "-oControlPersist=60"]

    def run(self, command, check=True, timeout=120, stdin=None):
        """Runs a shell command in the guest as root."""
        try:
            done = subprocess.run([*self.ssh(), f"root@{self.address}", command], capture_output=True, text=True, timeout=timeout,
                                  **({"input": stdin} if stdin is not None else {"stdin": subprocess.DEVNULL}))
        except subprocess.TimeoutExpired:
            done = subprocess.CompletedProcess(command, 255, "", "no answer in time")
        if check and done.returncode != 0:
            raise AssertionError(f"in the guest: {command}: exit {done.returncode}: {done.stdout[-400:]} {done.stderr[-600:]}")
        return done

    def sh(self, command, **more):
        return self.run(command, **more).stdout.strip()

    def ok(self, command, **more):
        return self.run(command, check=False, **more).returncode == 0

    def denied(self, command, **more):
        """Whether the command itself fails. That it was never tried (126, 127), or ssh failed (255), is no denial."""
        done = self.run(command, check=False, **more)
        assert done.returncode not in (126, 127, 255), f"not tried: {command}: exit {done.returncode}: {done.stderr[-300:]}"
        return done.returncode != 0

    def write(self, path, text, mode="644"):
        self.run(f"install -D -m {mode} /dev/stdin {shlex.quote(path)}", stdin=text)

    def copy(self, target, *sources):
        subprocess.run([*self.ssh("scp"), "-q", *map(str, sources), f"root@{self.address}:{target}"], check=True)

    def fetch(self, source, target):
        subprocess.run([*self.ssh("scp"), "-q", f"root@{self.address}:{source}", str(target)], check=True)

    def cut(self):
        """Pulls the plug: nothing in the guest gets to do anything any more."""
        # It may have gone off by itself.
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.forget()

    def off(self):
        """Switches it off as a person would, so that everything is on its disk."""
        self.run("systemctl poweroff", check=False)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.cut()
            raise AssertionError(f"it does not switch off: {self.console_tail()}") from None
        self.forget()

    def forget(self):
        """The connection to a machine that is off is of no use; nor is the wish to end it in order."""
        subprocess.run([*self.ssh(), "-O", "exit", self.address], capture_output=True)
        (self.work / "ssh").unlink(missing_ok=True)
        self.console.close()

    def close(self):
        if self.process and self.process.poll() is None:
            self.cut()
        shutil.rmtree(self.work, ignore_errors=True)


class Hand:
    """A finger on the buttons and eyes on the box, by guest-files/hand.rs; every change it sees is kept, with its
    time."""

    def __init__(self, machine):
        self.seen, self.machine = [], machine
        self.process = subprocess.Popen([*machine.ssh(), f"root@{machine.address}", "/rig/hand"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        threading.Thread(target=self.look, daemon=True).start()
        wait("the hand is there", lambda: self.now("open") is not None, 30)

    def look(self):
        for line in self.process.stdout:
            millis, what, value = line.rstrip("\n").split(" ", 2)
            self.seen.append((int(millis), what, value))

    def do(self, order):
        self.process.stdin.write(order + "\n")
        self.process.stdin.flush()

    def press(self):
        self.do("button 150")

    def hold(self, seconds):
        self.do(f"button {int(seconds * 1000)}")

    def watching(self):
        """What was seen, by a hand that still looks: where it has gone, that nothing was seen says nothing."""
        assert self.process.poll() is None, f"the hand has gone; it saw last: {self.seen[-5:]}"
        return self.seen

    def now(self, what):
        """What it saw last of `what`: a line's level, `capture`'s processes, or the devices that are `open`."""
        self.watching()
        return next((value for _, name, value in reversed(list(self.seen)) if name == what), None)

    def clock(self):
        """The time of what is seen now, in milliseconds: the machine's own, since the hand is there."""
        uptime = float(self.machine.sh("cut -d ' ' -f 1 /proc/uptime")) * 1000
        return uptime - next(int(value) for _, name, value in self.seen if name == "uptime")

    def mark(self):
        """A place in what was seen, to look from later."""
        return len(self.seen)

    def first(self, mark, what, wanted, after=-1, limit=60):
        """When after `mark` it first saw `what` be `wanted` (a function), in milliseconds."""
        find = lambda: next(((at, value) for at, name, value in self.seen[mark:] if name == what and at >= after and wanted(value)), None)
        return wait(f"the hand sees {what} change; seen: {self.seen[mark:][-12:]}", find, limit)[0]

    def values(self, mark, what):
        return [value for _, name, value in self.watching()[mark:] if name == what]

    def rhythm(self, seconds):
        """How long the lamp is lit and dark from now on, in milliseconds, in order."""
        mark = self.mark()
        time.sleep(seconds)
        at = [at for at, name, _ in self.watching()[mark:] if name == "lamp"]
        return [later - earlier for earlier, later in zip(at, at[1:])]

    def close(self):
        self.process.kill()
        self.process.wait()
