"""A bad day inside the box: roles die or hang, the lamp lies."""
import time

from waiting import wait
from scenario import scenario


def main_pid(box, role):
    return box.sh(f"systemctl show -P MainPID tallybox-{role}", check=False)


def restarted(box, role, pid, limit=60):
    wait(f"systemd restarts the {role}", lambda: main_pid(box, role) not in (pid, "0", ""), limit, 0.2)


@scenario("the guard is killed while live: capture gone, lamp dark in the end, guard idle")
def guard_killed(box, peers):
    box.live()
    wait("the ledger has it", lambda: box.facts()[-1]["kind"] == "on-air")
    # Most chips keep an output's level when its owner dies; the simulated one lets it fall to its pull.
    box.sh("echo pull-up >/run/rig/lamp/pull")
    try:
        pid, mark = main_pid(box, "guard"), box.hand.mark()
        started = time.monotonic()
        box.sh(f"kill -9 {pid}")
        gone = box.hand.first(mark, "capture", lambda pids: pids == "")
        dark = box.hand.first(mark, "lamp", lambda level: level == "0", limit=30)
        assert dark >= gone, f"the lamp was dark at {dark} ms, capture gone at {gone} ms"
        restarted(box, "guard", pid)
        box.until("idle")
        took = time.monotonic() - started
        box.dark()
    finally:
        box.sh("echo pull-down >/run/rig/lamp/pull")
    assert "session-cut" in [fact["kind"] for fact in box.facts()[-4:]], box.facts()[-4:]
    return f"lamp dark {dark - gone} ms after capture was gone; idle again after {took:.1f} s"


@scenario("the guard hangs while live: the lease runs out, systemd's watchdog restarts it")
def guard_hangs(box, peers):
    box.live()
    pid, mark = main_pid(box, "guard"), box.hand.mark()
    box.sh(f"kill -STOP {pid}")
    started = time.monotonic()
    box.hand.first(mark, "capture", lambda pids: pids == "", limit=20)
    dark_after = time.monotonic() - started
    # The lamp of a guard that hangs may stay lit: that is the safe side.
    restarted(box, "guard", pid, 90)
    box.until("idle", 90)
    took = time.monotonic() - started
    box.dark()
    assert dark_after < 3.5, f"capture went on for {dark_after:.1f} s without a lease"
    assert "watchdog" in box.sh("journalctl -b --no-pager -n 80 -o cat -u tallybox-guard").lower()
    return f"capture dark {dark_after:.1f} s after the guard hung; killed by the watchdog and idle again after {took:.0f} s"


def abort(box, pid):
    box.sh(f"kill -ABRT {pid}")
    wait(f"{pid} is gone", lambda: not box.ok(f"kill -0 {pid}"), 30)


@scenario("roles that abort leave no core dump, to a file or to a collector behind a pipe, and lock their memory", short=False)
def dumps(box, peers):
    box.write("/rig/collect", "#!/bin/sh\ncat >/rig/dumps/$1\n", "755")
    box.sh("mkdir -m 1777 /rig/dumps")
    former = box.sh("cat /proc/sys/kernel/core_pattern")
    files = lambda: box.sh("ls /rig/dumps")
    collect = lambda pattern: box.sh(f"echo '{pattern}' >/proc/sys/kernel/core_pattern")
    aborted = 0
    try:
        for pattern in ("/rig/dumps/%p", "|/rig/collect %p"):
            collect(pattern)
            for role in ("capture", "agent", "guard"):
                box.live()
                pid = box.hand.now("capture") if role == "capture" else main_pid(box, role)
                locked = int(box.sh(f"awk '/^VmLck/ {{ print $2 }}' /proc/{pid}/status"))
                assert locked > 1000, f"{role} has {locked} kB locked"
                abort(box, pid)
                aborted += 1
                if role != "agent":
                    box.until("idle", 90)
                else:
                    restarted(box, "agent", pid)
                    box.touch()
            assert not files(), f"a role left a dump by {pattern}: {files()}"
            # Another program leaves one: dumps are collected.
            box.sh("bash -c 'ulimit -c unlimited; kill -ABRT $$'", check=False)
            wait("there is one of another program", files, 30)
            box.sh("rm /rig/dumps/*")
    finally:
        collect(former)
        box.sh("rm -r /rig/dumps /rig/collect")
    return f"{aborted} aborted, no dump; a program beside them left one each time"


@scenario("the agent hangs while live: the shop goes on, the watchdog restarts it", short=False)
def agent_hangs(box, peers):
    box.live()
    pid = main_pid(box, "agent")
    box.sh(f"kill -STOP {pid}")
    started = time.monotonic()
    restarted(box, "agent", pid, 120)
    took = time.monotonic() - started
    assert box.phase() == "live"
    wait("it is connected again", lambda: box.sh("systemctl show -P StatusText tallybox-agent").startswith("connected"))
    box.touch()
    return f"restarted after {took:.0f} s; the session went on"


@scenario("the lamp's sense pin reads wrong: no capture, SOS; mended, it works again")
def sense(box, peers):
    box.idle()
    box.hand.do("sense down")
    box.configure(panel={"lamp-sense-pin": 22})
    try:
        # Dark told and dark read: all is well until the lamp is to be lit, and is not.
        box.until("idle")
        mark = box.hand.mark()
        box.hand.press()
        status = box.until("fault")
        assert status["faults"] == ["lamp"], status
        assert not any(box.hand.values(mark, "capture")) and not any(box.hand.values(mark, "open"))
        box.hand.press()
        time.sleep(1)
        assert not any(box.hand.values(mark, "capture")) and box.phase() == "fault"
        return status["message"]
    finally:
        box.configure()
        box.until("idle", 90)
        box.dark()
