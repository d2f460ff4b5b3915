"""Updates that the box fetches itself: good ones, bad ones, forged ones, and a plug that is pulled in the middle."""
import time

from deploy import broken_program, settings, variant, version
from releases import Releases
from scenario import scenario
from waiting import wait

# A download, two looks whether the box is well, and dpkg, on an emulated processor.
LIMIT = 600


def prepare(box, peers):
    """A box that trusts this operator, with a clock that somebody keeps."""
    releases = Releases(peers)
    box.write("/etc/tallybox/conf.d/60-update.toml", releases.settings())
    box.copy("/usr/local/share/ca-certificates/packages.crt", peers.work / "ca.crt")
    # Whatever the scenario before had in force was signed by other keys.
    box.sh("update-ca-certificates >/dev/null 2>&1; /rig/synchronised; systemctl stop tallybox-guard tallybox-agent; rm -rf /var/lib/tallybox-update; "
           "rm -f /var/lib/tallybox/release.note; systemctl start tallybox-guard tallybox-agent")
    ready(box)
    return releases


def ready(box):
    box.until("idle", 90)
    wait("the agent has its broker", lambda: box.sh("systemctl show -P StatusText tallybox-agent").startswith("connected"), 90, 0.5)


def update(box):
    return box.status().get("update", {})


def until(box, wanted, limit=LIMIT):
    """Waits until the box's update is as `wanted` says; the update."""
    seen = {}

    def there():
        seen.clear()
        seen.update(update(box))
        return seen if seen and wanted(seen) else None
    try:
        return wait("the update is as it should be", there, limit, 0.5)
    except AssertionError:
        units = box.sh("journalctl -b --no-pager -n 30 -o cat -u tallybox-update -u tallybox-upgrade", check=False)
        raise AssertionError(f"in {limit} s: {seen}; {box.log(20)}; {units}") from None


def facts(box, since):
    """What the ledger has of updates since an entry, without their names for attempts."""
    return [entry["fact"] for entry in box.ledger() if entry["seq"] > since and entry["fact"]["kind"].startswith(("update-", "command-refused"))]


def newest(box):
    return box.ledger()[-1]["seq"]


def kinds(found):
    return [fact["kind"] for fact in found]


def clean(box, config):
    """Nothing of an update lies about, the settings are the box's own, and nobody was captured for it."""
    wait("the updater has ended", lambda: box.sh("systemctl show -P ActiveState tallybox-update.service") == "inactive", 60)
    left = "ls -d /var/lib/tallybox-upgrade /etc/systemd/system/tallybox-upgrade.service /var/lib/tallybox/update-request /var/lib/tallybox-update/[npr]* 2>/dev/null | grep ."
    assert box.denied(left), box.sh(left)
    assert settings(box) == config
    assert box.ok("tallybox ledger verify") and box.phase() == "idle"
    failed = box.sh("systemctl --failed --no-legend --plain | grep -o 'tallybox[^ ]*' || true").split()
    assert failed == [], f"{failed}: {[box.sh(f'journalctl -b --no-pager -n 12 -o cat UNIT={unit} + _SYSTEMD_UNIT={unit}') for unit in failed]}"


def install(box, releases, number, **more):
    """Offers a good package of this version, and waits until it is installed."""
    mark = newest(box)
    releases.publish(releases.note(releases.release(variant(box, number), number, **more)))
    until(box, lambda seen: seen["state"] == "current" and seen["version"] == number)
    assert version(box) == number
    return facts(box, mark)


def without_guard(box, since):
    """For how many seconds a box had no guard when it was upgraded last."""
    stamps = box.sh(f"journalctl -b -o short-unix --no-pager --since=@{since} -t tallybox-guard | grep -E 'guard has ended|guard is up'").splitlines()
    ended, up = (next(float(line.split()[0]) for line in stamps if word in line) for word in ("has ended", "is up"))
    return up - ended


@scenario("update: too few signatures are refused, a good release is fetched and installed, once; a press meanwhile starts nothing", kind="update")
def good(box, peers):
    releases, former = prepare(box, peers), version(box)
    config, mark, begun, since = settings(box), newest(box), time.monotonic(), box.sh("date +%s")
    release = releases.release(variant(box, "9.0-1"), "9.0-1")
    for number, keys in enumerate((releases.keys[:1], [releases.stranger, releases.keys[0]], [releases.stranger]), 1):
        releases.publish(releases.note(release, *keys))
        wait(f"{number} are refused", lambda: len([fact for fact in facts(box, mark) if fact.get("verb") == "release"]) == number, 60)
    assert update(box)["state"] == "current" and version(box) == former
    hand = box.hand
    looks = hand.mark()
    releases.publish(releases.note(release))
    wait("the guard is away", lambda: box.sh("systemctl show -P MainPID tallybox-guard", check=False) == "0", LIMIT, 0.05)
    hand.press()
    until(box, lambda seen: seen["state"] == "current" and seen["version"] == "9.0-1")
    took = time.monotonic() - begun
    found = facts(box, mark)[3:]
    assert kinds(found) == ["update-offered", "update-announced", "update-started", "update-succeeded"], found
    assert found[2]["former"] == former and version(box) == "9.0-1"
    # Nobody was there to take the press: it leaves no trace, the lamp was dark, and the box is idle.
    assert not any(hand.values(looks, "capture")) and not any(hand.values(looks, "open")) and "1" not in hand.values(looks, "lamp"), hand.seen[looks:]
    assert not any(fact["kind"].startswith("session-") for fact in box.facts()), box.facts()
    ready(box)
    wait("the broker has heard of it once", lambda: sum(event["fact"]["kind"] == "update-succeeded" for event in peers.events()) == 1, 60)
    clean(box, config)
    return f"from {former} in {took:.0f} s, {without_guard(box, since):.1f} s of them without a guard; three with too few signatures refused"


@scenario("update: a broken program: the former version comes back by itself, and it is not tried again", kind="update", short=False)
def broken(box, peers):
    releases, former = prepare(box, peers), version(box)
    config, mark = settings(box), newest(box)
    releases.publish(releases.note(releases.release(variant(box, "10.0-1", broken_program), "10.0-1")))
    until(box, lambda seen: seen["state"] == "failed", 900)
    found = facts(box, mark)
    assert kinds(found)[-2:] == ["update-started", "update-failed"] and not found[-1]["again"], found
    assert version(box) == former
    time.sleep(20)
    assert facts(box, mark) == found, "it is left alone"
    clean(box, config)
    # The next version is another matter.
    install(box, releases, "10.1-1")
    return found[-1]["why"]


def power_cut(box, mark, ends):
    """Pulls the plug, and waits until the ledger has the end of the attempt that was cut off, the `ends`-th."""
    box.cut()
    box.boot()
    box.sh("/rig/synchronised")
    if ends:
        wait("its end is written down", lambda: kinds(facts(box, mark)).count("update-failed") == ends, LIMIT, 0.5)
        assert [fact["again"] for fact in facts(box, mark) if fact["kind"] == "update-failed"] == [True] * ends, facts(box, mark)


def recovered(box, mark, number, former):
    """The release is installed in the end, and each attempt has ended once."""
    until(box, lambda seen: seen["state"] == "current" and seen["version"] == number, 900)
    found = facts(box, mark)
    attempts = [fact["attempt"] for fact in found if fact["kind"] == "update-started"]
    ends = [fact["attempt"] for fact in found if fact["kind"] in ("update-failed", "update-succeeded")]
    assert attempts == ends and len(set(attempts)) == len(attempts) and kinds(found)[-1] == "update-succeeded", found
    assert version(box) == number != former
    ready(box)
    return len(attempts)


@scenario("update: the plug is pulled in the middle of the download, and of dpkg: the former version comes back, then the new one", kind="update", short=False)
def cut(box, peers):
    releases, former = prepare(box, peers), version(box)
    config, mark = settings(box), newest(box)
    begun, release = time.monotonic(), releases.release(variant(box, "11.0-1"), "11.0-1", slow=True)
    size = release["files"]["amd64"]["size"]
    releases.publish(releases.note(release))
    part = lambda: int(box.sh("sync; stat -c %s /var/lib/tallybox/agent/update-*.part 2>/dev/null || echo 0", check=False))
    wait("half of it is there", lambda: part() > size / 2, LIMIT, 0.1)
    power_cut(box, mark, 0)
    stage = lambda: box.sh("cat /var/lib/tallybox-upgrade/stage 2>/dev/null", check=False)
    wait("it is being installed", lambda: stage() == "try", LIMIT, 0.05)
    answers = releases.answers()
    assert any(code == 206 and sent < size for code, sent in answers), f"the download began anew: {answers}"
    # dpkg is at work.
    time.sleep(1.5)
    stages = [stage()]
    power_cut(box, mark, 1)
    count = recovered(box, mark, "11.0-1", former)
    clean(box, config)
    return f"cut in the download and in stage {stages[0]}; installed at attempt {count}, after {time.monotonic() - begun:.0f} s"


@scenario("update: the plug is pulled before anything is changed: the release is tried again", kind="update", short=False)
def cut_before(box, peers):
    releases, former = prepare(box, peers), version(box)
    config, mark = settings(box), newest(box)
    releases.publish(releases.note(releases.release(variant(box, "11.1-1"), "11.1-1")))
    stage = wait("it begins", lambda: box.sh("cat /var/lib/tallybox-upgrade/stage 2>/dev/null", check=False), LIMIT, 0.02)
    power_cut(box, mark, 1)
    count = recovered(box, mark, "11.1-1", former)
    clean(box, config)
    return f"cut in stage {stage}; installed at attempt {count}"


@scenario("update: no downgrade unless the release says so; expired and replayed releases do nothing", kind="update", short=False)
def stale(box, peers):
    releases = prepare(box, peers)
    install(box, releases, "12.1-1")
    config, mark = settings(box), newest(box)
    older = variant(box, "12.0-1")
    first = releases.note(releases.release(older, "12.0-1"))
    releases.publish(first)
    seen = until(box, lambda seen: seen["version"] == "12.0-1")
    assert seen["state"] == "offered" and "older than what is installed" in seen["why"], seen
    expired = releases.release(variant(box, "12.2-1"), "12.2-1", **{"not-after": stamp_before()})
    expired["wave"]["start"] = stamp_before(86400)
    releases.publish(releases.note(expired))
    seen = until(box, lambda seen: seen["version"] == "12.2-1")
    assert seen["state"] == "offered" and "expired" in seen["why"], seen
    # A clock that nobody keeps expires nothing, and starts nothing.
    box.sh("/rig/synchronised no")
    seen = until(box, lambda seen: seen["state"] == "waiting")
    assert "clock" in seen["why"], seen
    box.sh("/rig/synchronised")
    # What was in force before comes again, well signed.
    releases.publish(first)
    wait("it is refused", lambda: any("older than" in fact.get("why", "") for fact in facts(box, mark)), 60)
    assert update(box)["version"] == "12.2-1" and version(box) == "12.1-1"
    assert "update-started" not in kinds(facts(box, mark)), facts(box, mark)
    # Whoever takes the guard's file back to an older one does not get further: the updater remembers.
    found = install(box, releases, "12.0-1", downgrade=True)
    assert kinds(found)[-1] == "update-succeeded", found
    clean(box, config)
    return f"{seen['why']}; back to 12.0-1 where the release says so"


def stamp_before(seconds=3600):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - seconds))


@scenario("update: a full disk: said, nothing installed; with room again it is", kind="update", short=False)
def full(box, peers):
    releases, former = prepare(box, peers), version(box)
    config, mark = settings(box), newest(box)
    free = int(box.sh("df --output=avail -B1M / | tail -1"))
    box.sh(f"fallocate -l {free - 40}M /filler")
    try:
        releases.publish(releases.note(releases.release(variant(box, "13.0-1"), "13.0-1")))
        seen = until(box, lambda seen: "disk is full" in (seen["why"] or ""))
        assert version(box) == former and "update-started" not in kinds(facts(box, mark))
    finally:
        box.sh("rm -f /filler")
    until(box, lambda seen: seen["state"] == "current" and seen["version"] == "13.0-1")
    assert version(box) == "13.0-1"
    clean(box, config)
    return seen["why"]


@scenario("update: the agent's user swaps the package after it was judged: nothing of it is installed", kind="update", short=False)
def swapped(box, peers):
    releases, former = prepare(box, peers), version(box)
    box.sh("sed -i 's/^notice = .*/notice = \"20s\"/' /etc/tallybox/conf.d/60-update.toml; systemctl restart tallybox-guard")
    ready(box)
    config, mark = settings(box), newest(box)
    evil = variant(box, "14.0-1", lambda tree: (tree / "usr/bin/tallybox").write_text("#!/bin/sh\ntouch /evil\n"))
    box.copy("/rig/evil.deb", evil)
    box.sh("chmod 644 /rig/evil.deb")
    releases.publish(releases.note(releases.release(variant(box, "14.0-1", lambda tree: None), "14.0-1")))
    until(box, lambda seen: seen["state"] == "ready")
    place = "/var/lib/tallybox/agent/update-*.deb"
    # Another package of the same size, under the right name.
    box.sh(f"file=$(ls {place}); size=$(stat -c %s $file); runuser -u tallybox-agent -- sh -c \"cat /rig/evil.deb >$file; truncate -s $size $file\"")
    wait("it is refused", lambda: "update-failed" in kinds(facts(box, mark)), LIMIT)
    first = next(fact for fact in facts(box, mark) if fact["kind"] == "update-failed")
    assert "another one" in first["why"] and version(box) == former, first
    # It is fetched anew, and installed: the release is not to blame.
    until(box, lambda seen: seen["state"] == "current" and seen["version"] == "14.0-1")
    assert version(box) == "14.0-1" and box.denied("test -e /evil")
    # A request of a stranger, and one that nobody understands: nothing is done about them.
    mark = newest(box)
    box.sh("runuser -u tallybox-agent -- sh -c 'echo 0123456789abcdef >/var/lib/tallybox/update-request' && exit 1; echo junk >/var/lib/tallybox/update-request")
    wait("it is removed", lambda: box.ok("! test -e /var/lib/tallybox/update-request"), 60)
    assert facts(box, mark) == []
    clean(box, config)
    return first["why"]
