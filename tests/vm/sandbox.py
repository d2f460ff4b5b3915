"""What the kernel denies each role: tried as that role's user with everything that its unit says, and seen to work
without it, because a test that fails for another reason would show nothing."""
import shlex

from waiting import wait
from scenario import scenario

GUARD, AGENT, CAPTURE = "tallybox-guard.service", "tallybox-agent.service", "tallybox-capture@.service"
TCP = "exec 3<>/dev/tcp/10.78.0.1/8883"
UDP = "exec 3<>/dev/udp/10.78.0.1/8883"
DOOR = "/rig/connect /run/tallybox-capture.sock"
def opens(device, how="<"):
    return f"exec 3{how}{device}"


# The unit as it is but for its program. What belongs to the program's own life goes with it.
IN_PLACE = """[Unit]
RefuseManualStart=no
[Service]
Type=oneshot
ExecStart=
ExecStopPost=
ExecStart=/bin/bash /rig/attempts
WatchdogSec=0
Restart=no
StandardInput=null
StandardOutput=truncate:/run/rig-attempts
RuntimeMaxSec=infinity
TimeoutStartSec=60
"""


def attempts(scripts):
    """Says the exit code of each script, whatever the others do."""
    return "".join(f"(timeout 10 bash -c {shlex.quote(script)}) </dev/null >/dev/null 2>&1; echo $?\n" for script in scripts)


def inside(box, unit, scripts):
    """The scripts' exit codes in a role's place: its user, its sandbox, its unit."""
    drop, name = f"/run/systemd/system/{unit}.d/attempt.conf", unit.replace("@.", "@attempt.")
    box.write("/rig/attempts", attempts(scripts))
    box.write(drop, IN_PLACE)
    try:
        box.sh(f"rm -f /run/rig-attempts; systemctl daemon-reload; systemctl stop {name} 2>/dev/null; systemctl start {name}", check=False)
        codes = box.sh("cat /run/rig-attempts").split()
    finally:
        box.sh(f"rm {drop}; systemctl daemon-reload; systemctl reset-failed {name}", check=False)
    assert len(codes) == len(scripts), f"{unit} ran {len(codes)} of {len(scripts)}: {box.sh(f'systemctl status --no-pager {name}', check=False)}"
    return [int(code) for code in codes]


def held(box, unit, denied, allowed):
    """What `unit` is denied and what it is allowed, each tried in its place; all of it works for root outside."""
    codes = inside(box, unit, denied + allowed)
    for script, code in zip(denied, codes):
        assert code != 0, f"{unit} could: {script}"
        assert code != 124, f"{unit} hung instead of being denied: {script}"
    for script, code in zip(allowed, codes[len(denied):]):
        assert code == 0, f"{unit} cannot ({code}), though it has to: {script}"
    outside = box.sh(f"bash -c {shlex.quote(attempts(denied))}").split()
    for script, code in zip(denied, outside):
        assert code == "0", f"does not work without the sandbox either ({code}): {script}"
    return f"{len(denied)} denied, each of which works outside of the unit; {len(allowed)} allowed"


def roles_again(box):
    box.sh("systemctl daemon-reload; systemctl restart tallybox-capture.socket tallybox-guard tallybox-agent")
    box.until("idle")


CAMERA, SOUND, READ_LEDGER = opens("$(readlink -f /dev/shopcam)"), opens("/dev/snd/pcmC0D0c"), opens("/var/lib/tallybox/ledger.db")
# What a card calls its default shares it among programs; capture can make no Unix socket for that.
SHARED = "arecord -q -D default:CARD=Loopback -f S16_LE -r 48000 -d 1 /dev/null"
CHANGE_SETTINGS = "touch /etc/tallybox/x && rm /etc/tallybox/x"


@scenario("denied by the kernel: guard has no network, camera, microphone, or others' files")
def guard(box, peers):
    box.idle()
    box.write("/rig/secret", "root's alone", "600")
    try:
        return held(box, GUARD, [TCP, UDP, CAMERA, SOUND, opens("/dev/snd/controlC0"), opens("/rig/secret"), CHANGE_SETTINGS, "ls /proc/1/fd",
                                 "unshare -U true"],
                    [opens("/dev/gpiochip0", "<>"), READ_LEDGER, "touch /var/lib/tallybox/x && rm /var/lib/tallybox/x", f"{DOOR} 0"])
    finally:
        roles_again(box)


@scenario("denied by the kernel: agent has no device, no capture socket, no ledger")
def agent(box, peers):
    box.idle()
    try:
        return held(box, AGENT, [CAMERA, SOUND, opens("/dev/gpiochip0"), f"{DOOR} 0", READ_LEDGER, CHANGE_SETTINGS, "ls /proc/1/fd",
                                 "kill -0 1"],
                    [TCP, "touch /var/lib/tallybox/agent/x && rm /var/lib/tallybox/agent/x", "/rig/connect /run/tallybox/guard.sock 0"])
    finally:
        roles_again(box)


@scenario("denied by the kernel: capture has no GPIO, no ledger, no guard's socket")
def capture(box, peers):
    box.idle()
    try:
        return held(box, CAPTURE, [opens("/dev/gpiochip0"), READ_LEDGER, "/rig/connect /run/tallybox/guard.sock 0", f"{DOOR} 0", CHANGE_SETTINGS,
                                   opens("/dev/uinput"), "kill -0 1"],
                    [opens("$(readlink -f /dev/shopcam)", "<>"), SOUND, opens("/dev/snd/controlC0"), TCP, SHARED])
    finally:
        roles_again(box)


@scenario("no capture without a grant: others are kept from the socket, and who gets there gets nothing opened")
def grant(box, peers):
    box.idle()
    for user in ("tallybox-agent", "tallybox-capture", "nobody"):
        assert box.denied(f"runuser -u {user} -- {DOOR} 0"), f"{user} reached the capture socket"
    mark = box.hand.mark()
    # The kernel tells of each opening.
    box.sh("systemd-run -q --unit=rig-opened -p StandardOutput=truncate:/run/rig-opened /rig/opened 600 /dev/video* /dev/media* /dev/snd/pcm*c")
    wait("it looks", lambda: "looking" in box.sh("cat /run/rig-opened", check=False))
    box.sh("tallybox doctor", check=False)
    # Root may connect to anything. What it starts is given no grant, opens nothing, and ends by itself.
    box.sh(f"systemd-run -q --unit=rig-intruder {DOOR} 30")
    born = box.hand.first(mark, "capture", lambda pids: pids != "")
    gone = box.hand.first(mark, "capture", lambda pids: pids == "", after=born)
    box.sh("systemctl stop rig-intruder", check=False)
    opened = box.sh("sleep 0.5; cat /run/rig-opened").split()
    assert opened == ["looking"], f"doctor, or a capture without a grant, opened {opened[1:]}"
    assert not any(box.hand.values(mark, "open"))
    for user in ("root", "tallybox-capture"):
        done = box.run(f"runuser -u {user} -- tallybox capture </dev/null", check=False)
        assert done.returncode == 64 and "press the button" in done.stderr, done
    assert box.phase() == "idle"
    wait("the socket takes the guard again", lambda: box.ok("systemctl is-active tallybox-capture.socket"))
    box.live()
    box.touch()
    opened = box.sh("systemctl stop rig-opened; cat /run/rig-opened").split()
    assert len(opened) > 1, "a session opens the camera: the one who looks is blind"
    return f"three users kept out; root's capture ended by itself after {gone - born} ms with nothing open; the next press works"
