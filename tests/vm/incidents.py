"""Somebody at the box itself: the case is opened, a program and a unit are not the package's."""
import re

from waiting import wait
from scenario import scenario


def incidents(box):
    return [one["incident"] for one in box.status().get("incidents", [])]


def pull(box, closed):
    """The case's switch: closed it pulls its line to ground. Requesting the line pulls it up, as an open one is."""
    box.sh(f"echo {'pull-down' if closed else 'pull-up'} >/run/rig/case/pull")


@scenario("the case is opened while live, and while the box is off: nothing captured until it is closed", short=False)
def case_opened(box, peers):
    box.idle()
    try:
        # The guard requests the line: open until the switch says otherwise.
        box.configure(panel={"case-pin": 24})
        status = box.until("fault")
        assert status["reason"] == "tamper" and incidents(box) == ["case-opened"], status
        pull(box, closed=True)
        box.until("idle", 90)
        mark, heard = box.live(), len(peers.events(box.id))
        opened = box.hand.clock()
        pull(box, closed=False)
        gone = box.hand.first(mark, "capture", lambda pids: pids == "", after=opened)
        status = box.until("fault")
        assert status["reason"] == "tamper" and not box.devices_open(), status
        rhythm = box.hand.rhythm(6)
        assert any(100 <= span <= 250 for span in rhythm) and any(380 <= span <= 560 for span in rhythm), f"not SOS: {rhythm}"
        kinds = [fact["kind"] for fact in box.facts()]
        assert "incident-detected" in kinds and "session-stopped" in kinds[-4:], kinds[-6:]
        told = lambda: [event["fact"] for event in peers.events(box.id)[heard:] if event["fact"]["kind"] == "incident-detected"]
        event = wait("the platform has the event", lambda: told()[-1:], 60)[0]
        assert event["incident"] == "case-opened" and event["advice"] and event["impact"] and event["done"], event
        box.hand.press()
        assert box.phase() == "fault" and not box.devices_open()
        pull(box, closed=True)
        box.until("idle", 90)
        box.live()
        box.touch()
        # The switch is open when the box comes up again.
        box.off()
        box.boot()
        status = box.until("fault", 90)
        assert status["reason"] == "tamper" and incidents(box) == ["case-opened"], status
        box.hand.press()
        assert not box.devices_open()
        pull(box, closed=True)
        box.until("idle", 90)
        assert box.ok("tallybox ledger verify")
        return f"capture gone {gone - opened:.0f} ms after the case was opened; found again at the boot"
    finally:
        box.configure()
        box.until("idle", 90)


@scenario("a program and a unit are changed: the one stops the box, the other is told; mended, both are over", short=False)
def changed(box, peers):
    box.idle()
    paths = ["/" + line.split("  ")[1] for line in box.sh("cat /usr/share/tallybox/manifest").splitlines()]
    unit, program = (next(path for path in paths if re.search(end, path)) for end in ("tallybox-agent.service$", "capture$"))
    box.sh(f"cp -a {unit} /rig/unit; cp -a {program} /rig/program; echo '# changed' >>{unit}; echo >>{program}; systemctl restart tallybox-guard")
    try:
        # Three looks, a minute apart.
        wait("both are found", lambda: sorted(incidents(box)) == ["program-changed", "unit-changed"], 240, 1)
        assert box.until("fault")["reason"] == "tamper"
        box.hand.press()
        assert not box.devices_open()
    finally:
        box.sh(f"cp -a /rig/unit {unit}; cp -a /rig/program {program}; systemctl daemon-reload")
    wait("both are over", lambda: incidents(box) == [], 240, 1)
    box.until("idle", 90)
    kinds = [fact["kind"] for fact in box.facts()]
    return f"{kinds.count('incident-detected')} incidents told, {kinds.count('incident-cleared')} over"
