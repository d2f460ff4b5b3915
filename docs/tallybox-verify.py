"""Verifies what a tallybox box hands out, without the box and without tallybox: exports of the ledger, checkpoints,
proofs and receipts. Needs Python 3.9 and the package `cryptography` (Debian: python3-cryptography), and no network.

    tallybox-verify.py export FILE [--checkpoint FILE --key KEY]
    tallybox-verify.py checkpoint FILE --key KEY [--witness KEY]
    tallybox-verify.py consistency OLD NEW --key KEY [--export FILE]
    tallybox-verify.py proof FILE --key KEY
    tallybox-verify.py receipt FILE --key KEY

KEY is the box's key: `identity.verifier-key` in `tallybox status --json`, as the operator has it since the box was
claimed. Ends with 0 if all is good, with 1 and a sentence if it is not. docs/ledger.md describes every format.
"""
import argparse
import base64
import hashlib
import json
import re
import sys

HEADER = "c2sp.org/tlog-proof@v1"
BEGINNING = '{"pruned":'
GENESIS = "0" * 64
# Longest line, note and proof in bytes, and most hashes in a proof.
MAX_LINE, MAX_NOTE, MAX_PROOF, MAX_HASHES = 1 << 20, 8192, 256 * 1024, 65

class Bad(Exception):
    """What was handed out is not good: why."""

def refuse(wrong, why):
    if wrong:
        raise Bad(why)

# Texts: every form has one spelling, and no other is read.
def utf8(data):
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise Bad("it is not UTF-8")

def unbase64(text, what):
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        raise Bad(f"{what} is not base 64")
    refuse(base64.b64encode(data).decode() != text, f"{what} is not base 64 as it is written")
    return data

def read_hash(text):
    data = unbase64(text, "a hash")
    refuse(len(data) != 32, "a hash has not 32 bytes")
    return data

def decimal(text, what):
    refuse(not re.fullmatch(r"0|[1-9][0-9]{0,19}", text, re.ASCII), f"{what} is not a number")
    return int(text)

# The Merkle tree of RFC 6962.
def leaf_hash(entry):
    return hashlib.sha256(b"\x00" + entry).digest()

def node_hash(left, right):
    return hashlib.sha256(b"\x01" + left + right).digest()

class Tree:
    """A tree of which only the roots of whole subtrees are kept, one for each bit of its size."""
    def __init__(self, size=0, roots=()):
        refuse(bin(size).count("1") != len(roots), f"a tree of {size} entries has not {len(roots)} whole subtrees")
        self.size, self.roots = size, list(roots)

    def append(self, leaf):
        size = self.size
        while size & 1:
            leaf = node_hash(self.roots.pop(), leaf)
            size >>= 1
        self.roots.append(leaf)
        self.size += 1

    def root(self):
        if not self.roots:
            return hashlib.sha256(b"").digest()
        root = self.roots[-1]
        for left in reversed(self.roots[:-1]):
            root = node_hash(left, root)
        return root

def climb(at, last, left, whole, proof):
    """Follows a proof to the root, from place `at` of a level whose last place is `last`. Returns the root of what
    ends there, and that of the whole tree (RFC 9162, sections 2.1.3.2 and 2.1.4.2)."""
    for node in proof:
        refuse(last == 0, "the proof has too many hashes")
        if at & 1 or at == last:
            left, whole = node_hash(node, left), node_hash(node, whole)
            while at and not at & 1:
                at, last = at >> 1, last >> 1
        else:
            whole = node_hash(whole, node)
        at, last = at >> 1, last >> 1
    refuse(last, "the proof has too few hashes")
    return left, whole

def check_inclusion(leaf, index, size, proof, root):
    refuse(index >= size, f"entry number {index} (from 0) is not in a tree of {size}")
    if climb(index, size - 1, leaf, leaf, proof)[1] != root:
        raise Bad("the proof does not lead to the root: the entry, its place or the tree is another one")

def check_consistency(old, new, proof):
    """Whether the tree `new` begins with `old`; each is a size and a root."""
    (size, root), (new_size, new_root) = old, new
    refuse(size > new_size, f"the log went back from {size} entries to {new_size}")
    roots = (root, new_root) if size else (Tree().root(), new_root)
    if 0 < size < new_size:
        at, last = size - 1, new_size - 1
        while at & 1:
            at, last = at >> 1, last >> 1
        # Where the old tree is one whole subtree its root begins the proof.
        proof = list(proof) if at else [root, *proof]
        refuse(not proof, "the proof has too few hashes")
        roots = climb(at, last, proof[0], proof[0], proof[1:])
    elif proof:
        raise Bad("the proof has too many hashes")
    elif size:
        roots = (root, root)
    refuse(roots != (root, new_root), "the two trees do not belong together: entries were changed, removed or put in")

# Signed notes (c2sp.org/signed-note), checkpoints (c2sp.org/tlog-checkpoint), cosignatures (c2sp.org/tlog-cosignature).
class Key:
    """A verifier key: `name+1a2b3c4d+base64`."""
    def __init__(self, text):
        parts = text.split("+", 2)
        if len(parts) != 3 or not re.fullmatch(r"[0-9a-f]{8}", parts[1], re.ASCII):
            raise Bad("the key is not `name+1a2b3c4d+base64`")
        self.name, data = parts[0], unbase64(parts[2], "the key")
        refuse(not self.name or len(data) != 33 or data[0] not in (1, 4), "the key is not one of Ed25519")
        self.bytes = data[1:]
        if self.id(data[0]).hex() != parts[1]:
            raise Bad("the key's id does not belong to its name and bytes: copy it again")

    def id(self, kind):
        return hashlib.sha256(self.name.encode() + b"\n" + bytes([kind]) + self.bytes).digest()[:4]

    def verifies(self, signature, message):
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        try:
            Ed25519PublicKey.from_public_bytes(self.bytes).verify(signature, message)
        except InvalidSignature:
            return False
        return True

class Note:
    """Text with signatures."""
    def __init__(self, data):
        refuse(len(data) > MAX_NOTE, "the note is too long")
        whole = utf8(data)
        if any(letter != "\n" and (ord(letter) < 32 or 127 <= ord(letter) < 160) for letter in whole):
            raise Bad("the note has a control character")
        text, gap, lines = whole.rpartition("\n\n")
        refuse(not gap or not text or not lines.endswith("\n"), "the note has no signatures")
        self.text, self.signatures = text + "\n", []
        for line in lines[:-1].split("\n"):
            found = re.fullmatch(r"\u2014 ([^\s+]+) (\S+)", line)
            blob = unbase64(found[2], "a signature") if found else b""
            refuse(len(blob) < 5, "a line is not a signature")
            self.signatures.append((found[1], blob[:4], blob[4:]))

    def by(self, key, kind):
        return [blob for name, number, blob in self.signatures if (name, number) == (key.name, key.id(kind))]

    def require(self, key):
        own = self.by(key, 1)
        refuse(not own, f"it is not signed by {key.name}")
        if not all(key.verifies(signature, self.text.encode()) for signature in own):
            raise Bad(f"its signature by {key.name} does not verify: it was changed, or another key signed it")

    def cosigned_at(self, witness):
        """When a witness saw it, in seconds since 1970."""
        times = []
        for signature in self.by(witness, 4):
            seconds = int.from_bytes(signature[:8], "big")
            message = f"cosignature/v1\ntime {seconds}\n{self.text}".encode()
            if len(signature) != 72 or not witness.verifies(signature[8:], message):
                raise Bad(f"its cosignature by {witness.name} does not verify")
            times.append(seconds)
        refuse(not times, f"it is not cosigned by {witness.name}")
        return max(times)

class Checkpoint:
    """Origin, size and root, signed by the log's key, whose name is the origin."""
    def __init__(self, data, key):
        self.note = Note(data)
        lines = self.note.text[:-1].split("\n")
        refuse(len(lines) < 3 or not all(lines), "it is no checkpoint: it has not the lines origin, size and root")
        self.origin, self.size, self.root = lines[0], decimal(lines[1], "its size"), read_hash(lines[2])
        self.note.require(key)
        refuse(self.origin != key.name, f"it is of the log {self.origin}, and the key is that of {key.name}")

    def __str__(self):
        return f"{self.origin}: {self.size} entries, root {base64.b64encode(self.root).decode()}"

# The ledger.
TIMES = ("clock", "synchronised", "boot", "monotonic-ms")
HEX = re.compile(r"[0-9a-f]{64}", re.ASCII)

def text(value):
    return json.dumps(value, ensure_ascii=False)

def read_entry(line):
    """An entry of an export, and the fact as it is written; an event over MQTT has an `id` in addition."""
    try:
        entry = json.loads(line)
        name = entry.pop("id", None)
        if name is not None:
            start = '{"id":' + text(name) + ","
            refuse(not line.startswith(start), "it is not written as a box writes it")
            found = re.fullmatch(r".*-([0-9a-f]{16})-%d" % entry["seq"], name, re.ASCII | re.DOTALL)
            line, name = "{" + line[len(start):], found[1] if found else ""
        tail = ',"prev":%s,"hash":%s}' % (text(entry["prev"]), text(entry["hash"]))
        begin = '{"seq":%d,"at":%s,' % (entry["seq"], text(entry["at"]))
        if "clock" in entry:
            begin += "".join('"%s":%s,' % (key, text(entry[key])) for key in TIMES)
        begin += '"fact":'
        if not (line.startswith(begin) and line.endswith(tail) and HEX.fullmatch(entry["prev"])):
            raise Bad("it is not written as a box writes it")
        return entry, line[len(begin):-len(tail)], line, name
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise Bad("it is no entry of a ledger")

def entry_hash(entry, fact):
    parts = [entry["prev"], str(entry["seq"]), entry["at"]]
    if "clock" in entry:
        parts = ["tallybox/entry/v2", *parts, entry["clock"], str(entry["synchronised"]).lower(),
                 entry["boot"], str(entry["monotonic-ms"])]
    return hashlib.sha256("\n".join([*parts, fact]).encode()).hexdigest()

def read_beginning(line):
    try:
        pruned = json.loads(line)["pruned"]
        size, roots = pruned["size"], pruned["tree"]
        written = '{"pruned":{"size":%d,"tree":[%s]}}' % (size, ",".join(text(root) for root in roots))
    except (ValueError, KeyError, TypeError, RecursionError):
        raise Bad("it is not what an export begins with")
    refuse(written != line, "it is not what an export begins with")
    return Tree(size, [read_hash(root) for root in roots])

def verify_export(lines, checkpoints=()):
    """Follows the chain through lines of bytes. Returns first and last number, and the last hash."""
    tree = first = last = ledger = None
    roots = {}

    def note_root():
        if tree is not None and any(checkpoint.size == tree.size for checkpoint in checkpoints):
            roots[tree.size] = tree.root()

    for number, raw in enumerate(lines, 1):
        try:
            refuse(len(raw) >= MAX_LINE, "it is too long")
            line = utf8(raw)
            line = line[:-1] if line.endswith("\n") else line
            if not line.strip():
                continue
            if last is None and tree is None and line.startswith(BEGINNING):
                tree = read_beginning(line)
                continue
            entry, fact, leaf, name = read_entry(line)
            seq = entry["seq"]
            refuse(entry_hash(entry, fact) != entry["hash"], "its hash does not fit what it says")
            refuse(name is not None and ledger not in (None, name), "it has the id of another number or ledger")
            ledger = name if name is not None else ledger
            if last is None:
                if seq < 1 or (seq == 1) != (entry["prev"] == GENESIS) or (tree is not None and tree.size + 1 != seq):
                    raise Bad("the ledger does not begin here")
                first, tree = seq, Tree() if seq == 1 else tree
                note_root()
            elif seq != last["seq"] + 1 or entry["prev"] != last["hash"]:
                raise Bad("it does not follow the line before")
            if tree is not None:
                tree.append(leaf_hash(leaf.encode()))
                note_root()
            last = entry
        except Bad as bad:
            raise Bad(f"line {number}: {bad}")
    refuse(last is None, "there is no entry in it")
    for checkpoint in checkpoints:
        if tree is None:
            raise Bad("it begins in the middle of a ledger and does not say what was before: it has no root")
        if checkpoint.size > last["seq"]:
            raise Bad(f"it ends with entry {last['seq']}, and the checkpoint is of {checkpoint.size} entries")
        if checkpoint.size not in roots:
            raise Bad(f"the checkpoint is of {checkpoint.size} entries, and those before {first} are not in it")
        refuse(roots[checkpoint.size] != checkpoint.root,
               f"its first {checkpoint.size} entries are not those that the checkpoint is of")
    return first, last["seq"], last["hash"]

# Proofs.
def read_hashes(texts):
    refuse(len(texts) > MAX_HASHES, "the proof has more hashes than any tree")
    return [read_hash(each) for each in texts]

def verify_proof(data, key):
    """An entry's proof file (c2sp.org/tlog-proof), with the entry as its extra data. Returns entry and checkpoint."""
    head, gap, signed = data.partition(b"\n\n")
    refuse(len(data) > MAX_PROOF or not gap, "it is no proof: it has no checkpoint behind an empty line")
    lines = utf8(head).split("\n")
    is_proof = len(lines) > 2 and lines[0] == HEADER and lines[1][:6] == "extra " and lines[2][:6] == "index "
    refuse(not is_proof, f"it is no proof of an entry: {HEADER}, extra, index")
    leaf, index = unbase64(lines[1][6:], "the entry"), decimal(lines[2][6:], "the index")
    checkpoint = Checkpoint(signed, key)
    check_inclusion(leaf_hash(leaf), index, checkpoint.size, read_hashes(lines[3:]), checkpoint.root)
    entry, fact, _, _ = read_entry(utf8(leaf))
    refuse(entry["seq"] != index + 1 or entry_hash(entry, fact) != entry["hash"], "the entry is not what was written")
    return utf8(leaf), checkpoint

def proofs(data):
    """The proofs in a file, one after another."""
    start = HEADER.encode() + b"\n"
    parts = data.split(start)
    refuse(parts[0] or len(parts) < 2, f"its first line is not {HEADER}")
    return [start + part for part in parts[1:]]

def verify_growth(old, data, key):
    """A newer checkpoint, alone or behind `old N` and the hashes of a consistency proof. Returns it."""
    head, gap, signed = data.partition(b"\n\n")
    if not head.startswith(b"old "):
        return Checkpoint(data, key), None
    lines = head.decode("ascii", "replace").split("\n")
    size, new = decimal(lines[0][4:], "the old size"), Checkpoint(signed, key)
    refuse(size != old.size, f"the proof is for a checkpoint of {size} entries, and the old one is of {old.size}")
    check_consistency((old.size, old.root), (new.size, new.root), read_hashes(lines[1:]))
    return new, size

# The commands.
def lines(path):
    return sys.stdin.buffer if path == "-" else open(path, "rb")

def read(path):
    return lines(path).read()

def run(args):
    key = Key(args.key) if args.key else None
    if args.command == "export":
        refuse(args.checkpoint and not key, "--key is missing: the checkpoint's signature is verified with it")
        checkpoints = [Checkpoint(read(args.checkpoint), key)] if args.checkpoint else []
        first, last, digest = verify_export(lines(args.file), checkpoints)
        print(f"good: entries {first} to {last}, hash {digest}")
        for checkpoint in checkpoints:
            print(f"signed: {checkpoint}")
        if not checkpoints or checkpoints[0].size < last:
            print(f"whether entries behind {last} are missing only a newer checkpoint can say")
    elif args.command == "checkpoint":
        checkpoint = Checkpoint(read(args.file), key)
        print(f"good: {checkpoint}")
        if args.witness:
            witness = Key(args.witness)
            print(f"cosigned by {witness.name} at {checkpoint.note.cosigned_at(witness)} (seconds since 1970, UTC)")
    elif args.command == "consistency":
        old = Checkpoint(read(args.old), key)
        new, proved = verify_growth(old, read(args.new), key)
        if args.export:
            verify_export(lines(args.export), [old, new])
        elif proved is None and (old.size, old.root) != (new.size, new.root):
            raise Bad("nothing proves it: NEW has to be what `ledger checkpoint --since OLD` prints, or add --export")
        refuse(new.size < old.size, f"the log went back from {old.size} entries to {new.size}")
        print(f"good: {new}\nit begins with the {old.size} entries of the old one, unchanged")
    elif args.command == "proof":
        for data in proofs(read(args.file)):
            leaf, checkpoint = verify_proof(data, key)
            print(f"good: {leaf}\nin {checkpoint}")
    elif args.command == "receipt":
        note = Note(read(args.file))
        note.require(key)
        kind, _, document = note.text.partition("\n")
        refuse(kind != "tallybox/receipt/v1", "it is signed, and no receipt")
        print(f"good: signed by {key.name}\n{document}", end="")

COMMANDS = [("export", ["file"], "--checkpoint", "a checkpoint that the entries are held against"),
            ("checkpoint", ["file"], "--witness", "the verifier key of a witness who cosigned"),
            ("consistency", ["old", "new"], "--export", "an export that has the entries of both"),
            ("proof", ["file"], None, None), ("receipt", ["file"], None, None)]

def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, files, option, what in COMMANDS:
        command = commands.add_parser(name)
        for file in files:
            command.add_argument(file, help="- is the standard input")
        command.add_argument("--key", required=name != "export", help="the box's verifier key")
        if option:
            command.add_argument(option, help=what)
    try:
        run(parser.parse_args())
    except Bad as bad:
        sys.exit(f"BAD: {bad}")
    except OSError as error:
        sys.exit(f"cannot be read: {error}")
    except ImportError:
        sys.exit("the package `cryptography` is missing: apt install python3-cryptography")

if __name__ == "__main__":
    main()
