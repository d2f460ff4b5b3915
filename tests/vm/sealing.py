"""The box's key on a machine with a TPM: swtpm behind the kernel's own driver, with its state outside of the machine,
as a chip's is."""
import base64
import time

from scenario import scenario
from waiting import wait

UNIT = """[Unit]
Description=a TPM for tests
Before=tallybox-guard.service
[Service]
ExecStartPre=sh -c 'mkdir -p /rig/tpm; mountpoint -q /rig/tpm || mount -t hostfs none /rig/tpm -o {state}'
ExecStart=swtpm chardev --vtpm-proxy --tpm2 --tpmstate dir=/rig/tpm
# As the kernel does to a chip when the machine is switched off: a TPM counts each other end as a wrong try.
ExecStop=tpm2_shutdown --clear --tcti device:/dev/tpmrm0
[Install]
WantedBy=multi-user.target
"""
PLACE = "/var/lib/tallybox/credentials"


def switch_on(box, name):
    """A TPM of this name; another name is another chip."""
    state = box.work / name
    state.mkdir(exist_ok=True)
    box.write("/etc/systemd/system/rig-tpm.service", UNIT.format(state=state))
    box.sh("systemctl daemon-reload; systemctl stop rig-tpm; umount /rig/tpm 2>/dev/null; systemctl -q enable --now rig-tpm")
    wait("the kernel has a TPM", lambda: box.ok("ls /dev/tpmrm0"))


def at_rest(box):
    return box.status().get("identity-at-rest")


def again(box):
    """Off and on: what is on its disk then is all that is left."""
    box.off()
    box.boot()
    wait("the box answers", box.phase)


def found(disk, marks):
    """How many of these are in the disk's file."""
    content = disk.read_bytes()
    return sum(mark in content for mark in marks)


@scenario("a machine without a TPM says that its key is not encrypted", kind="tpm", short=False)
def plain(box, peers):
    box.until("idle")
    assert at_rest(box) == "plain", box.status()
    assert box.ok(f"test -f {PLACE}/identity")
    row = next(line for line in box.sh("tallybox doctor", check=False).splitlines() if "identity-at-rest" in line)
    assert row.startswith("ok") and "is not encrypted" in row and "who takes the card has it" in row, row
    return row


@scenario("with a TPM the key is sealed from the first start on, survives reboots, and ends with the binding", kind="tpm", short=False)
def sealed(box, peers):
    box.sh("systemctl stop tallybox.target tallybox-guard tallybox-agent; rm -rf /var/lib/tallybox/*; systemd-tmpfiles --create tallybox.conf")
    switch_on(box, "tpm")
    begun = time.monotonic()
    box.sh("systemctl start tallybox.target")
    box.until("idle")
    assert at_rest(box) == "tpm", (box.status(), box.log(), box.sh("journalctl -b --no-pager -t tallybox-sealing -o cat", check=False))
    started = time.monotonic() - begun
    identity, names = box.status()["identity"], box.sh(f"ls {PLACE}").split()
    assert names == ["identity.sealed"], names
    # The seed, through the TPM: in the test's memory, on no disk of the box.
    pem = box.sh(f"sed '/BEGIN PUBLIC/,$d' {PLACE}/identity.sealed | systemd-creds decrypt --name=tallybox-identity - -")
    line = pem.splitlines()[1]
    seed = base64.b64decode(line)[-32:]
    marks = [seed, seed.hex().encode(), line.encode(), line[16:].encode()]
    blob = box.sh(f"head -1 {PLACE}/identity.sealed").encode()
    box.live()
    box.touch()
    again(box)
    assert (box.status()["identity"], at_rest(box)) == (identity, "tpm")
    wait("a new checkpoint is signed", lambda: int(box.status()["checkpoint"].splitlines()[1]) >= len(box.ledger()) - 1, 90)
    box.off()
    assert found(box.disk, [blob]) == 1, "the same search finds what is there"
    assert (seen := found(box.disk, marks)) == 0, f"{seen} marks of the key are on the raw disk"
    box.boot()
    wait("the box answers", box.phase)
    # The card in another machine, and back in its own.
    switch_on(box, "another")
    box.sh("systemctl restart tallybox-guard")
    wait("it says that the TPM fails", lambda: at_rest(box) == "tpm-fails", 60)
    said = box.sh("tallybox doctor", check=False)
    assert "FAIL  identity-at-rest" in said and "put the card back" in said, said
    assert (box.status()["identity"], box.phase()) == (identity, "idle")
    starts = box.sh("systemctl show -P NRestarts tallybox-guard")
    assert starts == "0", f"the guard was started {starts} times more"
    switch_on(box, "tpm")
    wait("it opens again", lambda: at_rest(box) == "tpm", 90)
    box.hand.hold(10.4)
    wait("it is unbound", lambda: any(fact["kind"] == "unbound" for fact in box.facts()), 60)
    fact = next(fact for fact in box.facts() if fact["kind"] == "unbound")
    assert identity["verifier-key"].split("+")[0] in fact["receipt"], fact
    wait("the next key is sealed too", lambda: at_rest(box) == "tpm" and box.status()["identity"] != identity)
    assert box.sh(f"ls {PLACE}") == "identity.sealed"
    box.off()
    left = found(box.disk, [blob])
    assert found(box.disk, marks) == 0
    assert left == 0, "the sealed key of the former binding is on the raw disk"
    return f"idle {started:.1f} s after the start, 0 of {len(marks)} marks of the key on the raw disk, the former sealed key overwritten"
