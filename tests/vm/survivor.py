#!/usr/bin/env python3
"""What the package's own programs find on a disk that a power cut left: `survivor.py PACKAGE WORK`, as root, in a mount
namespace of its own; PACKAGE is the folder where the package was unpacked. Reads paths of disks, one a line, and
answers each with a line of JSON; it judges nothing.

The disk has two folders, `var` and `etc`, for /var/lib/tallybox and /etc/tallybox. The kernel recovers its journal, and
the programs run on it in the order in which a box starts: what a setup left half done is taken back, the guard starts,
and the helper deletes credentials if the guard asks for it.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from unsynced_judge import erasing

# As `setup` was told to call it.
ROOT = "/run/box-root"
BELOW = Path(f"{ROOT}/etc/tallybox")
VAR, ETC, RUN = Path("/var/lib/tallybox"), Path("/etc/tallybox"), Path("/run/tallybox")
UNITS = Path("/usr/lib/systemd/system")
# Only where it finds this does the helper of an unbinding read units.
SYSTEMD = Path("/run/systemd/system")
# It names the file of the agent's key, which an unbinding deletes.
DROP_IN = Path("/etc/systemd/system/tallybox-agent.service.d/key.conf")
MQTT_KEY = "[Service]\nLoadCredential=MQTT_KEY:/etc/tallybox/client.key\n"
# The guard asks the helper here.
REQUEST = VAR / "credentials-erasure"
# Of a start of the guard on a busy machine, in seconds; a start takes some tenths.
PATIENCE = 60
# The exit code with which systemd leaves it alone.
CONFIG = 78


def call(*command, check=True):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))}: {done.returncode}: {done.stderr[-300:]}")
    return done


class Survivor:
    """A disk after the other, on the same mount points."""

    def __init__(self, package, work):
        self.program, self.work, self.root = package / "usr/bin/tallybox", work, work / "disk"
        for name in ("disk", "upper"):
            (work / name).mkdir()
        call("mount", "--make-rprivate", "/")
        call("mount", "-t", "tmpfs", "none", work / "upper")
        # Folders and units that this machine lacks, in this namespace alone.
        for place, more in ((VAR.parent, ""), (ETC.parent, ""), (UNITS, f"{package}{UNITS}:")):
            upper = work / "upper" / place.name
            for part in ("upper", "work"):
                (upper / part).mkdir(parents=True)
            options = f"lowerdir={more}{place},upperdir={upper}/upper,workdir={upper}/work"
            call("mount", "-t", "overlay", "overlay", "-o", options, place)
        call("mount", "-t", "tmpfs", "none", "/run")
        for place in (VAR, ETC, RUN, BELOW, DROP_IN.parent, SYSTEMD):
            place.mkdir(parents=True, exist_ok=True)
        DROP_IN.write_text(MQTT_KEY)
        # The secrets that the configuration names.
        os.environ.update(STREAM_KEY="the-shops-key", MQTT_KEY="-----BEGIN PRIVATE KEY-----")

    def look(self, disk):
        found = {"problems": []}
        try:
            call("mount", "-o", "loop,noatime", disk, self.root)
        except AssertionError as error:
            return {"problems": [str(error)]}
        try:
            call("mount", "--bind", self.root / "var", VAR)
            call("mount", "--bind", self.root / "etc", ETC)
            call("mount", "--bind", self.root / "etc", BELOW)
            self.start(found)
        except (AssertionError, OSError, ValueError) as error:
            found["problems"].append(f"{type(error).__name__}: {error}")
        finally:
            # Whatever failed above: a disk that stays would be judged again as the next one.
            for place in (BELOW, VAR, ETC, self.root):
                if os.path.ismount(place):
                    call("umount", place)
        checked = call("/sbin/e2fsck", "-f", "-n", disk, check=False)
        if checked.returncode:
            found["problems"].append(f"the file system: {checked.stdout[-300:]}")
        return found

    def tool(self, *words, check=True):
        return call(self.program, *words, check=check)

    def files(self):
        """All files with their size, below `var` and `etc`."""
        return {
            str(file.relative_to(self.root)): file.stat().st_size
            for top in ("var", "etc")
            for file in (self.root / top).rglob("*")
            if file.is_file()
        }

    def ledger(self):
        self.tool("ledger", "verify")
        return [json.loads(line) for line in self.tool("ledger", "export").stdout.splitlines()]

    def start(self, found):
        found["files"] = self.files()
        if (ETC / "setup.journal").exists():
            self.tool("setup", "--undo", "--root", ROOT, "--config", BELOW / "tallybox.toml")
        self.tool("check-config", ETC / "tallybox.toml")
        found["etc"] = {
            str(file.relative_to(ETC)): file.read_text(errors="replace") for file in ETC.rglob("*") if file.is_file()
        }
        cursor = VAR / "agent/outbox-cursor"
        found["cursor"] = cursor.read_text() if cursor.exists() else None
        found["before"] = self.ledger()
        found["status"] = self.guard(erasing(found["before"]))
        found["after"] = self.ledger()
        found["files-after"] = self.files()

    def guard(self, is_erasing):
        """Starts the guard, helps it as the units do, and returns its status when it has settled."""
        call("mount", "-t", "tmpfs", "none", RUN)
        with open(self.work / "guard.log", "w+") as log:
            try:
                return self.settled(log, is_erasing)
            except AssertionError as error:
                log.seek(0)
                raise AssertionError(f"{error}; {log.read()[-600:]}") from None
            finally:
                call("umount", RUN)

    def start_guard(self, log):
        command = [self.program, "guard", "--credentials-helper"]
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def settled(self, log, is_erasing):
        guard, status, end = self.start_guard(log), {}, time.monotonic() + PATIENCE
        try:
            while time.monotonic() < end:
                if guard.poll() is not None:
                    # As its unit does: one that found a slow disk wants to start anew.
                    assert guard.returncode != CONFIG, "the guard rejects the configuration"
                    guard = self.start_guard(log)
                if REQUEST.exists():
                    self.tool("privacy", "erase-credentials", check=False)
                said = self.tool("status", "--json", check=False)
                status = json.loads(said.stdout) if said.returncode == 0 else {}
                is_open = status.get("ledger") and status["ledger-check"] != "running" and not status["faults"]
                if is_open and not (is_erasing and erasing(self.ledger())):
                    return status
                time.sleep(0.02)
            raise AssertionError(f"the guard does not settle: {status}")
        finally:
            guard.kill()
            guard.wait()


def main():
    survivor = Survivor(Path(sys.argv[1]), Path(sys.argv[2]))
    for line in sys.stdin:
        print(json.dumps(survivor.look(line.strip())), flush=True)


main()
