"""What has to hold on a disk that a power cut left, by what had been acknowledged before it."""

import base64
import re

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

# Nothing of this comes of a start.
NEVER = {"session-started", "on-air", "entries-lost", "incident-detected", "broke", "desired-dropped"}


class Known:
    """What had happened by a point: what was acknowledged, and what may be in force."""

    def __init__(self, facts):
        self.heard, self.possible, self.settled, self.tried = {}, {}, set(), {}
        for fact in facts:
            match fact:
                case ("heard", seq, hash):
                    self.heard[seq] = hash
                case ("attempt", slot, value):
                    self.possible.setdefault(slot, [None]).append(value)
                    self.settled.discard(slot)
                    self.tried.setdefault(slot, set()).add(value)
                case ("done", slot, value):
                    self.possible[slot] = [value]
                    self.settled.add(slot)

    def admits(self, slot, value):
        """Whether `value` may be in force: what was acknowledged last, or what was attempted since. Before anything was
        attempted, the test does not know it."""
        values = self.possible.get(slot, [None])
        return None in values or value in values


def phases_of(ledger):
    """What a start of the box on this ledger may come to, and whether it is unbound."""
    locked = pending = unbound = claimed = False
    for fact in (entry.get("fact", {}) for entry in ledger):
        match fact.get("kind"):
            case "locked":
                locked = True
            case "unlocked":
                locked = False
            case "policy-pending":
                pending = True
            case "policy-updated":
                pending = fact["waits-for-staff"]
            case "policy-acknowledged":
                pending = False
            case "unbound":
                locked, pending, unbound = False, False, True
            case "configured":
                claimed, unbound = claimed or unbound, False
    if locked or unbound:
        return {"locked"}, unbound
    # The next shop's policy may be one that staff acknowledged before.
    return {"idle", "policy"} if claimed else {"policy"} if pending else {"idle"}, unbound


def erasing(ledger):
    """Whether an erasure was announced and has not ended."""
    kinds = [entry["fact"]["kind"] for entry in ledger if "fact" in entry]
    last = next((kind for kind in reversed(kinds) if kind in ("erasure-started", "erased", "unbound")), None)
    return last == "erasure-started"


def verifies(receipt, keys):
    """Whether one of these keys signed the receipt (c2sp.org/signed-note)."""
    text, signatures = receipt.rsplit("\n\n", 1)
    for line in signatures.splitlines():
        _, name, signature = line.split(" ")
        for key in keys:
            if key.split("+")[0] == name:
                try:
                    Ed25519PublicKey.from_public_bytes(base64.b64decode(key.split("+", 2)[2])[1:]).verify(
                        base64.b64decode(signature)[4:], f"{text}\n".encode()
                    )
                    return True
                except InvalidSignature:
                    pass
    return False


def judge(found, known, keys):
    """What is wrong with a disk, in words. `found`: what survivor.py tells of it; `keys`: all that the box ever had."""
    if found["problems"]:
        return found["problems"]
    wrong, status, before, after = [], found["status"], found["before"], found["after"]
    kept = {entry["seq"]: entry["hash"] for entry in before if "seq" in entry}
    if lost := [seq for seq, hash in known.heard.items() if kept.get(seq) != hash]:
        wrong.append(f"acknowledged entries are lost: {lost}")
    if [entry["hash"] for entry in after[: len(before)]] != [entry["hash"] for entry in before]:
        wrong.append("the guard's start changed entries")
    if strange := {entry["fact"]["kind"] for entry in after[len(before) :]} & NEVER:
        wrong.append(f"after the start the ledger has {strange}")
    phases, unbound = phases_of(after)
    if status["phase"] not in phases or status["unbound"] != unbound or status["faults"] or status["incidents"]:
        seen = [status[name] for name in ("phase", "unbound", "reason", "faults", "incidents")]
        wrong.append(f"it comes up as {seen}; the ledger says {phases}, {unbound}")
    # An unbinding overwrites it before it is deleted: the agent takes that for none, and sends everything again.
    if re.fullmatch("[0-9]+ [0-9a-f]{64}\n", found["cursor"] or ""):
        seq, ledger = found["cursor"].split()
        if int(seq) > max(kept) or ledger != status["ledger"]:
            wrong.append(f"the outbox's cursor {found['cursor']!r} is beyond the ledger's {max(kept)}")
    for entry in after:
        if entry["fact"]["kind"] in ("erased", "unbound") and not verifies(
            entry["fact"].get("receipt") or "\n\n", keys
        ):
            wrong.append(f"entry {entry['seq']} has no receipt of the box")
    has_left = any(entry["fact"]["kind"] == "unbound" for entry in after)
    for slot, value in (
        ("policy", status["policy-version"]),
        ("bitrate", status["video"]["bitrate-kbps"]),
        ("fps", status["video"]["fps"]),
    ):
        # An unbinding takes with it what the platform had brought. What the broker keeps may come again.
        if has_left and slot != "fps":
            if slot == "policy" and value in known.tried.get(slot, ()):
                wrong.append(f"{slot} is {value}, as in the shop that the box has left")
        elif not known.admits(slot, value):
            wrong.append(f"{slot} is {value}, and should be one of {known.possible[slot]}")
    return (
        wrong + setup_problems(found, known) + release_problems(found, known) + erasure_problems(found, known, unbound)
    )


def setup_problems(found, known):
    """A setup is all there or not at all."""
    pin = next(
        (
            line.split(" = ")[1]
            for line in found["etc"].get("conf.d/10-setup.toml", "").splitlines()
            if line.startswith("mute-pin")
        ),
        None,
    )
    key = found["etc"].get("stream-key", "").strip() or None
    if "setup" not in known.possible or pin is None and key is None:
        return []
    if key != f"key-{pin}" or not known.admits("setup", int(pin)):
        return [f"setup wrote pin {pin} with {key}, and it should be one of {known.possible['setup']}"]
    return []


def release_problems(found, known):
    """A release index that was told of is kept."""
    lost = "release" in known.settled and "var/release.note" not in found["files"]
    return ["the release index is lost"] if lost else []


def erasure_problems(found, known, unbound):
    """What was erased is gone: on the disk as the cut left it where that was acknowledged, after the start always."""
    wrong, data = [], "var/footage/unsent"
    if "footage" in known.settled and data in found["files"]:
        wrong.append("erased footage is there")
    kinds = [entry["fact"]["kind"] for entry in found["after"]]
    if (
        "erased" in kinds
        and "footage" in known.possible
        and data in found["files-after"]
        and "erasure-started" in kinds[len(found["before"]) :]
    ):
        wrong.append("footage is there after an erasure that went on")
    # The next shop's credentials come before the guard knows its configuration.
    if unbound and "claim" not in known.possible:
        left = [
            name
            for name in found["files-after"]
            if name in ("var/policy.note", "var/desired.note", "var/desired-next.note", "etc/client.key", data)
        ]
        if left or found["status"]["identity"]["verifier-key"] == known.possible.get("binding", [None])[-1]:
            wrong.append(f"after an unbinding there are {left}, key {found['status']['identity']['verifier-key']}")
    return wrong
