"""What somebody could do who has taken a role over: tried in that role's place, on the machine."""
from scenario import scenario
from waiting import wait

# A process of its own session that heeds no signal but SIGKILL, with the camera open.
CHILD = """#!/bin/sh
setsid sh -c 'trap "" TERM HUP INT; exec 3</dev/shopcam; exec sleep 300' </dev/null >/dev/null 2>&1 &
exec /usr/bin/tallybox capture
"""
DROP = "/run/systemd/system/tallybox-capture@.service.d/taken-over.conf"


def taken_over(box):
    """On air with such a child beside capture; where the observer's record begins."""
    box.write("/rig/taken-over", CHILD, "755")
    box.write(DROP, "[Service]\nExecStart=\nExecStart=/rig/taken-over\n")
    box.sh("systemctl daemon-reload")
    box.live()
    wait("capture has a child", lambda: box.hand.now("capture").count(",") >= 1, 20)
    wait("both have the camera", lambda: sum("/dev/video" in line for line in box.devices_open()) >= 2, 20)
    return box.hand.mark()


def gone_before_dark(box, mark, which):
    """When the last process of capture's unit was gone, and when the lamp was dark: it may not be so before. `which` of
    the times at which it got dark since `mark`."""
    gone = box.hand.first(mark, "capture", lambda pids: pids == "", limit=30)
    box.until("idle")
    box.dark()
    dark = which(at for at, name, level in box.hand.seen[mark:] if name == "lamp" and level == "0")
    assert dark >= gone, f"the lamp was dark at {dark} ms, capture's last process gone at {gone} ms"
    return gone, dark


@scenario("a capture that was taken over leaves a child with the camera: it ends with the session, and so does the lamp")
def child(box, peers):
    # Some chips keep an output's level when its owner dies; the simulated one lets it fall to its pull.
    box.sh("echo pull-up >/run/rig/lamp/pull")
    try:
        mark = taken_over(box)
        box.hand.press()
        down = box.hand.first(mark, "button", lambda level: level == "0")
        # It blinks while the session ends.
        gone, dark = gone_before_dark(box, mark, max)
        mark = taken_over(box)
        box.sh("kill -9 $(systemctl show -P MainPID tallybox-guard)")
        # Between what darkens the lamp and the next guard nobody drives it.
        killed, darkened = gone_before_dark(box, mark, min)
    finally:
        box.sh(f"echo pull-down >/run/rig/lamp/pull; rm -f {DROP}; systemctl daemon-reload")
    assert gone - down < 2000, f"a child of capture lived for {gone - down} ms after the touch"
    return (f"gone {gone - down} ms after the touch, lamp dark {dark - gone} ms later; "
            f"with the guard killed, lamp dark {darkened - killed} ms after the last process")
