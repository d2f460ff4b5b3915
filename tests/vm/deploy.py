"""Deployment over ssh, as an operator would: good packages, broken ones, and a plug that is pulled in the middle."""
import os
import random
import subprocess
import tempfile
import time
from pathlib import Path

from box import REPO
from waiting import wait
from scenario import scenario


def variant(box, version, change=lambda tree: None):
    """The package under test with another version, changed as `change` says."""
    # A folder of its own: a scenario may make one version twice.
    tree, deb = Path(tempfile.mkdtemp(prefix="tree-", dir=box.work)), box.work / f"tallybox_{version}.deb"
    tree.chmod(0o755)
    subprocess.run(["dpkg-deb", "-R", os.environ["TALLYBOX_DEB"], tree], check=True)
    control = tree / "DEBIAN/control"
    lines = control.read_text().splitlines()
    control.write_text("\n".join(f"Version: {version}" if line.startswith("Version:") else line for line in lines) + "\n")
    change(tree)
    subprocess.run(["dpkg-deb", "-Znone", "--root-owner-group", "--build", tree, deb], check=True, capture_output=True)
    return deb


def host(box):
    return f"root@{box.address}"


def command(box, deb, *flags, hosts=()):
    options = [part for part in box.ssh()[1:] if not part.startswith(("-oControl", "-oBatch"))]
    environment = {**os.environ, "SSH": " ".join(["ssh", *options]), "SCP": " ".join(["scp", *options])}
    return subprocess.Popen([REPO / "scripts/deploy", *flags, str(deb), *(hosts or [host(box)])], env=environment, text=True,
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def deploy(box, deb, *flags, **more):
    """Runs scripts/deploy: its exit code, what it said, and how long it took."""
    begun = time.monotonic()
    process = command(box, deb, *flags, **more)
    said = process.communicate(timeout=600)[0]
    return process.returncode, said, time.monotonic() - begun


def version(box):
    return box.sh("dpkg-query -W -f='${Status} ${Version}' tallybox").removeprefix("install ok installed ")


def connected(box):
    """What the gate asks for before: a box that is not well is not upgraded."""
    box.idle()
    # A sibling has a copy of this disk, and its id until it is configured: who is thrown out waits 3 minutes.
    wait("the agent has its broker", lambda: box.sh("systemctl show -P StatusText tallybox-agent").startswith("connected"), 300, 0.5)


def settings(box):
    return box.sh("find /etc/tallybox -type f -exec sha256sum {} + | sort -k2")


def clean(box):
    """Nothing of an upgrade lies about, and the box works."""
    assert box.denied("ls -d /var/lib/tallybox-upgrade /etc/systemd/system/tallybox-upgrade.service /tmp/tallybox-deploy.* 2>/dev/null | grep ."), "leftovers"
    box.live()
    box.touch()
    assert box.ok("tallybox ledger verify")


def broken_program(tree):
    (tree / "usr/bin/tallybox").write_text("#!/bin/sh\nexit 1\n")


def broken_unit(tree):
    unit = next(Path(tree).glob("**/tallybox-guard.service"))
    unit.write_text(unit.read_text().replace("ExecStart=/usr/bin/tallybox", "ExecStart=/usr/bin/tallibox"))


@scenario("deploy: a good package, and what it interrupts")
def good(box, peers):
    connected(box)
    former, entries, config = version(box), len(box.ledger()), settings(box)
    since = box.sh("date +%s")
    code, said, took = deploy(box, variant(box, "9.0-1"))
    assert code == 0 and "upgraded: 1" in said, said
    assert version(box) == "9.0-1" and settings(box) == config
    assert len(box.ledger()) > entries, "the ledger goes on"
    stamps = box.sh(f"journalctl -o short-unix --no-pager --since=@{since} -t tallybox-guard | grep -E 'guard has ended|guard is up'").splitlines()
    ended, up = (next(float(line.split()[0]) for line in stamps if word in line) for word in ("has ended", "is up"))
    clean(box)
    return f"from {former} in {took:.0f} s, {up - ended:.1f} s of them without a guard"


@scenario("deploy: a live box is refused, unless told otherwise", short=False)
def live(box, peers):
    connected(box)
    deb = variant(box, "9.1-1")
    former = version(box)
    box.live()
    code, said, _ = deploy(box, deb)
    assert code != 0 and "a session is not interrupted" in said, said
    assert box.phase() == "live" and version(box) == former
    code, said, _ = deploy(box, deb, "--interrupt")
    assert code == 0, said
    assert version(box) == "9.1-1"
    assert any(fact["kind"] == "session-stopped" and fact["reason"] == "shutdown" for fact in box.facts()[-8:]), box.facts()[-8:]
    box.until("idle")
    clean(box)


@scenario("deploy: a broken program, a broken unit: the former version comes back by itself", short=False)
def broken(box, peers):
    seen, config = [], settings(box)
    for number, (what, change) in enumerate([("program", broken_program), ("unit", broken_unit)]):
        connected(box)
        former = version(box)
        code, said, took = deploy(box, variant(box, f"10.{number}-1", change))
        assert code != 0 and "the former version is back" in said, said
        assert version(box) == former, version(box)
        clean(box)
        assert settings(box) == config
        seen.append(f"{what}: back after {took:.0f} s")
    # What came back was packed anew; dpkg must not take the box's own configuration for that package's default.
    code, said, _ = deploy(box, variant(box, "10.9-1"))
    assert code == 0 and settings(box) == config, said
    return "; ".join(seen)


@scenario("deploy: the first box that fails stops the rest")
def stops(box, peers):
    connected(box)
    former = version(box)
    code, said, _ = deploy(box, variant(box, "11.0-1"), "--jobs", "1", hosts=("root@10.78.0.99", host(box)))
    assert code != 0 and f"not begun: {host(box)}" in said, said
    assert version(box) == former


# A box of its own kind: the package that is good elsewhere is not for it.
ALLERGIC = """[Service]
ExecStartPre=+/bin/sh -c '! dpkg -s tallybox | grep -q "^Version: 15"'
"""


def upgrading(box):
    """From when to when a box was about its last upgrade; the machines have one clock."""
    lines = box.sh("journalctl -b -o short-unix --no-pager -u tallybox-upgrade | grep -E 'stage (try|ended)'").splitlines()[-2:]
    return tuple(float(line.split()[0]) for line in lines)


@scenario("deploy: three boxes in one call: stops at the first that refuses or is not well, the rest untouched; two at a time", short=False)
def several(box, peers):
    boxes = [box, box.sibling(1), box.sibling(2)]
    first, second, third = boxes
    try:
        for one in boxes:
            connected(one)
        # The first may have been upgraded by the scenarios before this one.
        former, config = [version(one) for one in boxes], [settings(one) for one in boxes]
        # One is live and refuses at once; the one beside it is let finish; the third is not begun.
        second.live()
        code, said, _ = deploy(box, variant(box, "14.0-1"), "--jobs", "2", hosts=map(host, boxes))
        assert code != 0 and f"upgraded: 1; failed: {host(second)}; not begun: {host(third)}" in said, said + second.log(30)
        assert f"[{host(second)}] " in said and "a session is not interrupted" in said, said
        assert [version(one) for one in boxes] == ["14.0-1", *former[1:]]
        assert second.phase() == "live"
        second.touch()
        # One does not get well with it, and goes back by itself.
        second.write("/etc/systemd/system/tallybox-guard.service.d/allergic.conf", ALLERGIC)
        second.sh("systemctl daemon-reload; systemctl restart tallybox-guard")
        for one in boxes:
            connected(one)
        code, said, back = deploy(box, variant(box, "15.0-1"), "--jobs", "1", hosts=map(host, [second, third, first]))
        assert code != 0 and f"upgraded: 0; failed: {host(second)}; not begun: {host(third)} {host(first)}" in said, said
        assert "the former version is back" in said, said
        assert [version(one) for one in boxes] == ["14.0-1", *former[1:]]
        second.sh("rm -r /etc/systemd/system/tallybox-guard.service.d; systemctl daemon-reload")
        for one in boxes:
            connected(one)
        code, said, took = deploy(box, variant(box, "16.0-1"), "--jobs", "2", hosts=map(host, boxes))
        assert code == 0 and "upgraded: 3; failed: none; not begun: none" in said, said
        assert {version(one) for one in boxes} == {"16.0-1"} and [settings(one) for one in boxes] == config
        spans = [upgrading(one) for one in boxes]
        most = max(sum(begin <= moment < end for begin, end in spans) for moment, _ in spans)
        assert most == 2, f"{most} boxes at the same time: {spans}"
        for one in boxes:
            clean(one)
        return f"back after {back:.0f} s; three boxes in {took:.0f} s, {most} at a time"
    finally:
        for one in boxes[1:]:
            one.close()


@scenario("deploy: not tallybox, not this architecture, not well before: refused, nothing changed", short=False)
def refused(box, peers):
    connected(box)
    former = version(box)

    def other(tree):
        control = tree / "DEBIAN/control"
        control.write_text(control.read_text().replace("Architecture: amd64", "Architecture: arm64"))
    code, said, _ = deploy(box, variant(box, "12.0-1", other))
    assert code != 0 and "is not tallybox for this box" in said, said
    box.sh("systemctl stop tallybox-agent")
    code, said, _ = deploy(box, variant(box, "12.1-1"))
    assert code != 0 and "not well before the upgrade: agent broker" in said, said
    box.sh("systemctl start tallybox-agent")
    assert version(box) == former
    clean(box)


@scenario("deploy: the plug is pulled in the middle, and the former version comes back", short=False)
def cut(box, peers):
    rounds, dice, stages = 10, random.Random(7), []
    for number in range(rounds):
        connected(box)
        former = version(box)
        process = command(box, variant(box, f"13.{number}-1"))
        wait("the upgrade is under way", lambda: box.sh("cat /var/lib/tallybox-upgrade/stage 2>/dev/null", check=False) in ("begin", "try"), 120)
        time.sleep(dice.uniform(0, 6))
        stages.append(box.sh("cat /var/lib/tallybox-upgrade/stage", check=False))
        box.cut()
        box.boot()
        said = process.communicate(timeout=600)[0]
        assert process.returncode != 0 and ("the former version is" in said or "before anything was changed" in said), said
        assert version(box) == former, version(box)
        box.until("idle", 90)
        clean(box)
    return f"{rounds} cuts, in stages {', '.join(stages)}"
