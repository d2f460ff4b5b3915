"""What the kernel denies each role: tried as that role's user with everything that its unit says, and seen to work
without it, because a test that fails for another reason would show nothing."""
import shlex

from scenario import scenario
from wire import wait

GUARD, AGENT, CAPTURE = "tallybox-guard.service", "tallybox-agent.service", "tallybox-capture@.service"
TCP = "exec 3<>/dev/tcp/10.78.0.1/1883"
UDP = "exec 3<>/dev/udp/10.78.0.1/1883 && echo x >&3"
DOOR = "/rig/connect /run/tallybox-capture.sock"
# The unit as it is but for its program. What belongs to the program's own life goes with it.
IN_PLACE = """[Service]
Type=oneshot
ExecStart=
ExecStopPost=
ExecStart=/bin/bash -c {script}
WatchdogSec=0
Restart=no
StandardInput=null
RuntimeMaxSec=infinity
TimeoutStartSec=20
"""


def attempt(box, unit, script):
    """The exit code of a script in a role's place."""
    drop, name = f"/run/systemd/system/{unit}.d/attempt.conf", unit.replace("@.", "@attempt.")
    # systemd has its own use for % and $.
    quoted = '"' + script.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$") + '"'
    box.write(drop, IN_PLACE.format(script=quoted))
    try:
        box.sh(f"systemctl daemon-reload; systemctl stop {name} 2>/dev/null; systemctl start {name}", check=False)
        code = int(box.sh(f"systemctl show -P ExecMainStatus {name}"))
        assert code < 200 or code > 243, f"{unit} could not be set up with {script}: {code}"
        return code
    finally:
        box.sh(f"rm {drop}; systemctl daemon-reload; systemctl reset-failed {name}", check=False)


def denied(box, unit, *scripts):
    for script in scripts:
        code = attempt(box, unit, script)
        assert code != 0, f"{unit} could: {script}"
        assert box.ok(f"bash -c {shlex.quote(script)}"), f"does not work without the sandbox either: {script}"
    return len(scripts)


def allowed(box, unit, *scripts):
    for script in scripts:
        assert attempt(box, unit, script) == 0, f"{unit} cannot, though it has to: {script}"


def opens(device, how="<"):
    return f"exec 3{how}{device}"


def roles_again(box):
    box.sh("systemctl daemon-reload; systemctl restart tallybox-capture.socket tallybox-guard tallybox-agent")
    box.until("idle")


@scenario("denied by the kernel: guard has no network, camera, microphone, or others' files")
def guard(box, peers):
    box.idle()
    box.write("/rig/secret", "root's alone", "600")
    try:
        number = denied(box, GUARD, TCP, UDP, opens("$(readlink -f /dev/shopcam)"), opens("/dev/snd/pcmC0D0c"), opens("/dev/snd/controlC0"),
                        "cat /rig/secret", "touch /etc/tallybox/x && rm /etc/tallybox/x", "kill -0 1 && ls /proc/1/fd", "unshare -U true")
        allowed(box, GUARD, opens("/dev/gpiochip0", "<>"), "touch /var/lib/tallybox/x && rm /var/lib/tallybox/x", f"{DOOR} 0")
    finally:
        roles_again(box)
    return f"{number} denied, each works outside; its chip, its ledger's folder and the capture socket open"


@scenario("denied by the kernel: agent has no device, no capture socket, no ledger")
def agent(box, peers):
    box.idle()
    try:
        number = denied(box, AGENT, opens("$(readlink -f /dev/shopcam)"), opens("/dev/snd/pcmC0D0c"), opens("/dev/gpiochip0"), f"{DOOR} 0",
                        "cat /var/lib/tallybox/ledger.db", "touch /etc/tallybox/x && rm /etc/tallybox/x", "kill -0 $(systemctl show -P MainPID tallybox-guard)")
        allowed(box, AGENT, TCP, "touch /var/lib/tallybox/agent/x && rm /var/lib/tallybox/agent/x", "test -S /run/tallybox/guard.sock")
    finally:
        roles_again(box)
    return f"{number} denied, each works outside; network, its own folder and the guard's socket open"


@scenario("denied by the kernel: capture has no GPIO, no ledger, no guard's socket")
def capture(box, peers):
    box.idle()
    try:
        number = denied(box, CAPTURE, opens("/dev/gpiochip0"), "cat /var/lib/tallybox/ledger.db", "/rig/connect /run/tallybox/guard.sock 0", f"{DOOR} 0",
                        "touch /etc/tallybox/x && rm /etc/tallybox/x", opens("/dev/uinput"))
        allowed(box, CAPTURE, opens("$(readlink -f /dev/shopcam)", "<>"), opens("/dev/snd/controlC0"), TCP)
    finally:
        roles_again(box)
    return f"{number} denied, each works outside; camera, sound and network open"


@scenario("no capture without a grant: others are kept from the socket, and who gets there gets nothing opened")
def grant(box, peers):
    box.idle()
    for user in ("tallybox-agent", "tallybox-capture", "nobody"):
        assert not box.ok(f"runuser -u {user} -- {DOOR} 0"), f"{user} reached the capture socket"
    mark = box.hand.mark()
    # Root may connect to anything. What it starts is given no grant, opens nothing, and ends by itself.
    box.sh(f"systemd-run -q --unit=rig-intruder {DOOR} 30")
    born = box.hand.first(mark, "capture", lambda pids: pids != "")
    gone = box.hand.first(mark, "capture", lambda pids: pids == "", after=born)
    box.sh("systemctl stop rig-intruder", check=False)
    assert not any(box.hand.values(mark, "open")), "a capture without a grant opened a device"
    for user in ("root", "tallybox-capture"):
        done = box.run(f"runuser -u {user} -- tallybox capture </dev/null", check=False)
        assert done.returncode == 64 and "press the button" in done.stderr, done
    assert box.phase() == "idle"
    wait("the socket takes the guard again", lambda: box.ok("systemctl is-active tallybox-capture.socket"))
    box.live()
    box.touch()
    return f"three users kept out; root's capture ended by itself after {gone - born} ms with nothing open; the next press works"
