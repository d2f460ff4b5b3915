"""A role is taken over, and tries whatever attempts.py has: in its own unit, as its own user. What came of it is judged
from outside, by the hand's eyes and by /proc."""

import sandbox
from attempts import Attempt, ELSEWHERE, HANDED_OVER, LOCAL_USER, STARTS, SURVIVORS
from observer import AT_ONCE, LONGEST_DARK
from sandbox import AGENT, GUARD
from scenario import scenario
from waiting import wait

FOLDER = "/var/cache/tallybox-capture"
DROP = "/run/systemd/system/tallybox-capture@.service.d/taken-over.conf"
# The attacker's program in capture's place. The real capture goes on air for it; then come processes that shall outlive
# it, and attempts. Descriptor 9 is the connection to the guard.
PROGRAM = """#!/bin/bash
export MAIN=$$
camera=$(readlink -f /dev/shopcam)
mkdir -p -m 777 {folder}/open
exec 9<&0
{{
while ! [ -e {folder}/open/go ]; do sleep 0.5; done
{survivors}
renice -n 19 $BASHPID
{attempts}
echo end
}} </dev/null >{folder}/attempts 2>/dev/null &
exec /usr/bin/tallybox capture
"""
BOMB = f"(while ! [ -e {FOLDER}/open/go ]; do sleep 0.2; done; exec /rig/attack bomb $0 2000 20) &"
# Who looks which devices are opened: the kernel tells of each opening.
LOOK = "systemd-run -qG --unit=rig-opened -p StandardOutput=truncate:/run/rig-opened"
# How many attempts a unit makes before systemd would call it slow to start.
AT_ONCE = 20


def scripts(box, attempts):
    """The scripts, with the roles' processes in them."""
    pids = {role: box.sh(f"systemctl show -P MainPID tallybox-{role.lower()}") for role in ("GUARD", "AGENT")}
    assert "0" not in pids.values(), pids
    filled = lambda script: script.replace("GUARD_PID", pids["GUARD"]).replace("AGENT_PID", pids["AGENT"])
    return [filled(attempt.script) for attempt in attempts], [
        filled(attempt.control or attempt.script) for attempt in attempts
    ]


def controls(box, attempts):
    """Each attempt's tool works for root outside of the sandbox, where nothing is denied."""
    for first in range(0, len(attempts), AT_ONCE):
        some = attempts[first : first + AT_ONCE]
        box.write("/rig/controls", sandbox.attempts(scripts(box, some)[1]))
        codes = box.sh("bash /rig/controls", timeout=300).split()
        box.sh("; ".join(attempt.undo for attempt in some) + "; true")
        blunt = [(attempt.name, code) for attempt, code in zip(some, codes, strict=True) if code != "0"]
        assert not blunt, f"do not work outside of the sandbox either: {blunt}"


def stopped(attempts, codes):
    """How many attempts were stopped: all of them, or it fails."""
    assert len(codes) == len(attempts), f"{len(codes)} of {len(attempts)} were tried"
    could = [attempt.name for attempt, code in zip(attempts, codes) if code == 0]
    slow = [attempt.name for attempt, code in zip(attempts, codes) if code in (124, 126, 127)]
    assert not could and not slow, f"could: {could}; hung, or not tried: {slow}"
    return len(attempts)


def in_place(box, unit, attempts):
    """The exit codes of attempts in a role's place."""
    tried = scripts(box, attempts)[0]
    batches = [tried[first : first + AT_ONCE] for first in range(0, len(tried), AT_ONCE)]
    return [code for batch in batches for code in sandbox.inside(box, unit, batch)]


def accomplices(box):
    """Others on the box who take what is handed to them, and keep it: another user, and the agent's user."""
    box.sh(
        f"mkdir -p {FOLDER}/open; chmod 777 {FOLDER}/open; "
        "systemctl stop 'rig-accomplice-*'; rm -f /run/rig-accomplice-*",
        check=False,
    )
    takers = {
        "abstract": ("nobody", "@accomplice"),
        "folder": ("nobody", f"{FOLDER}/open/accomplice"),
        "agent": ("tallybox-agent", "@agent"),
    }
    for name, (user, socket) in takers.items():
        box.sh(
            f"systemd-run -qG --unit=rig-accomplice-{name} -p User={user} "
            f"-p StandardOutput=truncate:/run/rig-accomplice-{name} /rig/attack take {socket} 300"
        )
        wait(f"{name} listens", lambda: "listens" in box.sh(f"cat /run/rig-accomplice-{name}", check=False))


def taken(box):
    return box.sh("cat /run/rig-accomplice-*").split().count("taken")


def left_of_capture(box):
    return box.sh("ps -o pid=,args= -u tallybox-capture", check=False)


def holders(box):
    """Processes that have a camera or microphone open. One of the survivors has it now and then; one waits."""
    return {line.split("/")[2] for line in box.devices_open()}


def survive_elsewhere(box):
    """The survivors as capture's user, outside of its unit: each outlives what began it, with the camera open."""
    lines = "\n".join(
        f"bash -c {sandbox.shlex.quote(each.script)} $camera </dev/null >/dev/null 2>&1" for each in SURVIVORS
    )
    begin = "export MAIN=$$ camera=$(readlink -f /dev/shopcam)\nexec 9</dev/null\n"
    box.write("/rig/survivors", f"{begin}{lines}\n", "755")
    box.sh("setpriv --reuid tallybox-capture --regid tallybox-capture --groups video bash /rig/survivors")
    wait("each has the camera", lambda: len(holders(box)) >= len(SURVIVORS) - 1, 30)
    box.sh("while pkill -9 -u tallybox-capture; do sleep 0.1; done")
    wait("they are gone", lambda: not left_of_capture(box))


def take_over_capture(box, survivors, attempts):
    quoted = "\n".join(f"bash -c {sandbox.shlex.quote(each.script)} $camera >/dev/null 2>&1" for each in survivors)
    program = PROGRAM.format(folder=FOLDER, survivors=quoted, attempts=sandbox.attempts(scripts(box, attempts)[0]))
    box.write("/rig/taken-over", program, "755")
    box.write(DROP, "[Service]\nExecStart=\nExecStart=/rig/taken-over\n")
    box.sh(f"rm -f {FOLDER}/open/go {FOLDER}/attempts; systemctl daemon-reload")


def clean(box):
    box.sh(f"rm -rf {DROP} {FOLDER}/*; systemctl daemon-reload")


def ends(box, mark, longest_dark=AT_ONCE):
    """A touch, and what is left: milliseconds to the last process's end. Until then the lamp was dark for no longer
    than `longest_dark`, which a pattern may have."""
    # Longer than a press: eyes with many processes to look at would miss that.
    box.hand.hold(1)
    down = box.hand.first(mark, "button", lambda level: level == "0")
    gone = box.hand.first(mark, "capture", lambda pids: pids == "", after=down, limit=30)
    # Until the guard has seen it too, the lamp has the pattern of before.
    box.until("idle")
    box.dark()
    dark = max(at for at, name, level in box.hand.seen if name == "lamp" and level == "0")
    assert dark >= gone - longest_dark, f"the lamp was dark at {dark} ms, capture's last process gone at {gone} ms"
    return gone - down


@scenario("capture taken over: it outlives no touch, is run by nobody else, hands no camera on", short=False)
def outlives(box, peers):
    box.idle()
    tried = HANDED_OVER + ELSEWHERE
    survive_elsewhere(box)
    accomplices(box)
    controls(box, tried)
    assert taken(box) == 3, "each accomplice takes what root hands over"
    accomplices(box)
    # Some chips keep an output's level when its owner dies; the simulated one lets it fall to its pull.
    box.sh("echo pull-up >/run/rig/lamp/pull")
    try:
        take_over_capture(box, SURVIVORS, tried)
        box.live()
        mark = box.hand.mark()
        box.sh(f"touch {FOLDER}/open/go")
        wait("the survivors have the camera", lambda: len(holders(box)) >= len(SURVIVORS) - 1, 60)
        wait("all is tried", lambda: "end" in box.sh(f"cat {FOLDER}/attempts"), 300, 1)
        assert box.phase() == "live"
        gone = ends(box, mark)
        box.sh(f"{LOOK} /rig/opened 4 /dev/video* /dev/snd/pcm*c")
        wait("nobody opens anything afterwards", lambda: not box.ok("systemctl is-active -q rig-opened"), 30)
        assert box.sh("cat /run/rig-opened").split() == ["looking"], box.sh("cat /run/rig-opened")
        assert not (left := left_of_capture(box)), left
        assert not (handed := taken(box)), f"{handed} accomplices have the camera"
        codes = [int(code) for code in box.sh(f"cat {FOLDER}/attempts").split()[:-1]]
        box.until("idle")
    finally:
        box.sh("echo pull-down >/run/rig/lamp/pull; systemctl stop 'rig-accomplice-*'", check=False)
        clean(box)
    count = len(SURVIVORS) + stopped(tried, codes)
    return f"{count} attempts tried, {count} stopped; all gone {gone} ms after the touch, the lamp lit until then"


@scenario("capture taken over: a fork bomb that heeds no signal ends with the touch", short=False)
def bomb(box, peers):
    box.idle()
    try:
        take_over_capture(box, [Attempt("waits, then forks without end", BOMB)], [])
        box.live()
        mark = box.hand.mark()
        box.sh(f"touch {FOLDER}/open/go")
        box.hand.first(mark, "capture", lambda pids: pids.count(",") >= 60)
        gone = ends(box, mark, LONGEST_DARK)
        most = max(pids.count(",") + 1 for pids in box.hand.values(mark, "capture"))
        assert not (left := left_of_capture(box)), left
        box.until("idle")
    finally:
        clean(box)
    # The guard competes with all of them for one emulated processor.
    assert gone < 8000, f"{most} processes lived for {gone} ms after the touch"
    return f"{most} processes gone {gone} ms after the touch, the lamp lit until then"


def watched(box, act):
    """Does `act`; all the time nothing was captured: no process of capture's, no device opened, the lamp dark."""
    mark = box.hand.mark()
    box.sh(f"{LOOK} /rig/opened 600 /dev/video* /dev/media* /dev/snd/pcm*c")
    wait("it looks", lambda: "looking" in box.sh("cat /run/rig-opened", check=False))
    try:
        result = act()
        opened = box.sh("cat /run/rig-opened").split()
    finally:
        box.sh("systemctl stop rig-opened", check=False)
    seen = {what: sorted(set(box.hand.values(mark, what))) for what in ("capture", "open")}
    assert not any(value for values in seen.values() for value in values) and opened == ["looking"], (seen, opened)
    return result


@scenario("agent taken over: it starts no capture, opens no device, leaves its unit by no way", short=False)
def agent(box, peers):
    box.idle()
    tried = STARTS + ELSEWHERE
    controls(box, tried)
    box.idle()
    try:
        codes = watched(box, lambda: in_place(box, AGENT, tried))
    finally:
        sandbox.roles_again(box)
    return (
        f"{(count := stopped(tried, codes))} attempts tried, {count} stopped; no process of capture's, no device opened"
    )


@scenario("guard taken over: it leaves its unit by no way", short=False)
def guard(box, peers):
    box.idle()
    own = ("the guard: ", "the ledger", "the box's key", "the lamp's line")
    tried = [attempt for attempt in ELSEWHERE if not attempt.name.startswith(own)]
    try:
        codes = in_place(box, GUARD, tried)
    finally:
        sandbox.roles_again(box)
    return f"{(count := stopped(tried, codes))} attempts tried, {count} stopped"


@scenario("another local user: no socket, no file, no process, no unit of the box's", short=False)
def local_user(box, peers):
    box.idle()
    # What any user may do on Debian, and what reaches nothing of the box's.
    allowed = ("D-Bus at all", "a user namespace", "io_uring", "the kernel's log")
    # sudo looks the machine's name up, for longer than an attempt may take.
    box.sh("grep -qw box /etc/hosts || echo 127.0.1.1 box >>/etc/hosts")
    tried = LOCAL_USER + [attempt for attempt in ELSEWHERE if attempt.name not in allowed]
    controls(box, tried)

    def act():
        codes = []
        for first in range(0, len(tried), AT_ONCE):
            box.write("/rig/controls", sandbox.attempts(scripts(box, tried[first : first + AT_ONCE])[0]))
            codes += box.sh(
                "setpriv --reuid nobody --regid nogroup --clear-groups bash /rig/controls", timeout=300
            ).split()
        return [int(code) for code in codes]

    codes = watched(box, act)
    return f"{(count := stopped(tried, codes))} attempts tried, {count} stopped"
