//! Whatever is done to a handed-out ledger of 1,000 entries shows, in the box's own verifier and in
//! docs/tallybox-verify.py: each takes all good ones and none of the others.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use notes::SignerKey;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tallybox::clock::ClockReading;
use tallybox::ipc::Fact;
use tallybox::ledger::{Ledger, VerifiedExport, export_beginning, verify_export, verify_export_with};
use tlog::{Checkpoint, CompactRange, ProofFile, Prover, SignedCheckpoint, leaf_hash};

const NAME: &str = "tallybox/shop-1/0011223344556677";
/// Entries of the ledger.
const COUNT: u64 = 1000;
/// Those of an older version, without readings.
const OLD: u64 = 8;

fn signer(seed: u8) -> SignerKey {
    SignerKey::new(NAME, &[seed; 32]).unwrap()
}

fn sign(proof: &VerifiedExport, seed: u8) -> String {
    let checkpoint = Checkpoint::new(NAME, proof.tree.as_ref().unwrap());
    SignedCheckpoint::sign(checkpoint, &signer(seed)).unwrap().to_string()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}

/// Entry `number` was written half a day after the one before.
fn reading(number: u64) -> ClockReading {
    let utc = jiff::Timestamp::from_second(1_782_864_000 + 43_200 * i64::try_from(number).unwrap()).unwrap();
    ClockReading {
        utc,
        synchronised: !number.is_multiple_of(7),
        boot: "00112233aabbccdd".into(),
        monotonic_ms: number * 43_200_000,
    }
}

fn fact(number: u64, word: &str) -> Fact {
    let session = number / 4;
    match number % 4 {
        0 => Fact::SessionStarted {
            session,
            sound: true,
            policy_version: "2026-11-29".to_owned(),
            guardian: number % 8 == 4,
        },
        1 => Fact::OnAir { session },
        2 => Fact::OffAir { session, reason: format!("推流失败 \"{word}\" \\ \u{1}\u{7f}\n") },
        _ => Fact::SessionStopped { session, reason: "press".to_owned(), message: None },
    }
}

/// A ledger in `dir`: old entries, some of facts that nobody knows, and new ones; `word` from entry `fork` on makes it
/// another one.
fn ledger(dir: &Path, fork: u64, word: &str) -> Ledger {
    let path = dir.join("ledger.db");
    drop(Ledger::open(&path).unwrap());
    let store = rusqlite::Connection::open(&path).unwrap();
    let mut prev = "0".repeat(64);
    for seq in 1..=OLD {
        let (at, fact) =
            (reading(seq).utc, format!("{{\"kind\":\"from-tomorrow\",\"a\":[1,null,0.5],\"b\":\"é{seq}\"}}"));
        let fact = if seq % 3 == 0 { fact } else { "{\"kind\":\"locked\"}".to_owned() };
        let digest = Sha256::digest(format!("{prev}\n{seq}\n{at}\n{fact}"));
        let hash = hex(&digest);
        let insert = "INSERT INTO entry (seq, at, fact, hash) VALUES (?1, ?2, ?3, ?4)";
        store.execute(insert, rusqlite::params![seq, at.to_string(), fact, hash]).unwrap();
        prev = hash;
    }
    drop(store);
    let mut ledger = Ledger::open(&path).unwrap();
    let facts: Vec<_> =
        (OLD + 1..=COUNT).map(|seq| (reading(seq), fact(seq, if seq >= fork { word } else { "rtmp" }))).collect();
    ledger.append(&facts).unwrap();
    ledger
}

fn export(ledger: &Ledger) -> String {
    let begin = ledger.pruned().unwrap().filter(|tree| tree.size() > 0).map(|tree| export_beginning(&tree) + "\n");
    let entries = ledger.entries_after(0, 100_000).unwrap();
    begin.into_iter().chain(entries.iter().map(|entry| entry.line() + "\n")).collect()
}

/// A file that is changed: bytes of `base` from..to are others.
struct Case {
    name: String,
    base: &'static str,
    from: usize,
    to: usize,
    bytes: Vec<u8>,
    checkpoint: &'static str,
    good: bool,
}

/// What cases are made of, and the cases.
#[derive(Default)]
struct Cases {
    files: Vec<(&'static str, Vec<u8>)>,
    cases: Vec<Case>,
}

impl Cases {
    fn file(&self, name: &str) -> &[u8] {
        self.files.iter().find(|(known, _)| *known == name).map_or(b"", |(_, bytes)| bytes)
    }

    fn good(&mut self, base: &'static str, checkpoint: &'static str) {
        self.change(&format!("{base} with {checkpoint}"), base, 0..0, &[], checkpoint);
        self.cases.last_mut().unwrap().good = true;
    }

    fn change(
        &mut self,
        name: &str,
        base: &'static str,
        range: std::ops::Range<usize>,
        bytes: &[u8],
        checkpoint: &'static str,
    ) {
        let (name, bytes) = (name.to_owned(), bytes.to_vec());
        self.cases.push(Case { name, base, from: range.start, to: range.end, bytes, checkpoint, good: false });
    }

    /// One bit, where `bits` takes place and bit.
    fn flips(
        &mut self,
        base: &'static str,
        range: std::ops::Range<usize>,
        checkpoint: &'static str,
        bits: impl Fn(usize, usize) -> bool,
    ) {
        for place in range {
            for bit in (0..8).filter(|bit| bits(place, *bit)) {
                let byte = self.file(base)[place] ^ (1 << bit);
                self.change(&format!("{base}: bit {bit} of byte {place}"), base, place..place + 1, &[byte], checkpoint);
            }
        }
    }

    /// Where each line begins, and the end.
    fn lines(&self, base: &str) -> Vec<usize> {
        let bytes = self.file(base);
        let ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
        std::iter::once(0).chain(ends).collect()
    }

    /// Lines that are left out, doubled, moved or put in, and ends that are cut off.
    fn moves(&mut self, base: &'static str, checkpoint: &'static str, step: usize) {
        let (lines, bytes) = (self.lines(base), self.file(base).to_vec());
        let last = lines.len() - 2;
        for number in (0..last).step_by(step).chain([last]) {
            let (start, end) = (lines[number], lines[number + 1]);
            self.change(&format!("{base}: without line {number}"), base, start..end, &[], checkpoint);
            self.change(&format!("{base}: line {number} twice"), base, start..start, &bytes[start..end], checkpoint);
            self.change(&format!("{base}: cut before line {number}"), base, start..bytes.len(), &[], checkpoint);
            self.change(&format!("{base}: cut in line {number}"), base, end - 9..bytes.len(), &[], checkpoint);
            if let Some(after) = lines.get(number + 2) {
                let swapped = [&bytes[end..*after], &bytes[start..end]].concat();
                self.change(
                    &format!("{base}: lines {number} and next swapped"),
                    base,
                    start..*after,
                    &swapped,
                    checkpoint,
                );
            }
            let other = &bytes[lines[last / 2]..lines[last / 2 + 1]];
            if number != last / 2 {
                self.change(&format!("{base}: another line put in at {number}"), base, end..end, other, checkpoint);
            }
        }
    }
}

fn verify_one(cases: &Cases, case: &Case) -> bool {
    let base = cases.file(case.base);
    let bytes = [&base[..case.from], &case.bytes, &base[case.to..]].concat();
    let key = signer(1).verifier_key();
    if case.base == "proof" {
        let read = ProofFile::parse(&bytes);
        return read.is_ok_and(|read| read.verify(&read.extra.clone().unwrap_or_default(), &key).is_ok());
    }
    let (bytes, checkpoint) = if case.base.starts_with("checkpoint") {
        (cases.file("export").to_vec(), bytes)
    } else {
        (bytes, cases.file(case.checkpoint).to_vec())
    };
    if checkpoint.is_empty() {
        return verify_export(bytes.as_slice()).is_ok();
    }
    let checkpoint = SignedCheckpoint::parse(&checkpoint).and_then(|signed| signed.verify(&key).cloned());
    checkpoint.is_ok_and(|checkpoint| verify_export_with(bytes.as_slice(), &checkpoint).is_ok())
}

/// The same by the program that privacy officers use.
fn verify_all_in_python(cases: &Cases, dir: &Path) -> Vec<bool> {
    for (name, bytes) in &cases.files {
        std::fs::write(dir.join(name), bytes).unwrap();
    }
    let program = r#"
import importlib.util, io, json, sys
spec = importlib.util.spec_from_file_location("verify", sys.argv[1])
v = importlib.util.module_from_spec(spec); spec.loader.exec_module(v)
key, files, verdicts = v.Key(sys.argv[2]), {}, []
def file(name):
    if name not in files: files[name] = open(name, "rb").read() if name else b""
    return files[name]
for line in sys.stdin:
    case = json.loads(line)
    base = file(case["base"])
    data = base[:case["from"]] + bytes.fromhex(case["bytes"]) + base[case["to"]:]
    try:
        if case["base"] == "proof":
            [one] = v.proofs(data)
            v.verify_proof(one, key)
        else:
            signed = file(case["checkpoint"])
            if case["base"].startswith("checkpoint"): data, signed = file("export"), data
            checkpoints = [v.Checkpoint(signed, key)] if signed else []
            v.verify_export(io.BytesIO(data), checkpoints)
        verdicts.append(True)
    except v.Bad:
        verdicts.append(False)
print(json.dumps(verdicts))
"#;
    let tool = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/tallybox-verify.py");
    let mut python = Command::new("python3")
        .args(["-c", program])
        .arg(tool)
        .arg(signer(1).verifier_key().to_string())
        .current_dir(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = python.stdin.take().unwrap();
    let lines = cases
        .cases
        .iter()
        .map(|case| {
            let hex = hex(&case.bytes);
            let line = json!({ "base": case.base, "from": case.from, "to": case.to, "bytes": hex, "checkpoint": case.checkpoint });
            format!("{line}\n")
        })
        .collect::<Vec<_>>()
        .concat();
    let feed = std::thread::spawn(move || input.write_all(lines.as_bytes()).unwrap());
    let output = python.wait_with_output().unwrap();
    feed.join().unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// All that is good, and all that is done to it.
fn cases(dir: &Path) -> Cases {
    let mut all = Cases::default();
    let folder = |name: &str| {
        let folder = dir.join(format!("ledger-{name}"));
        std::fs::create_dir(&folder).unwrap();
        folder
    };
    let mut own = ledger(&folder("own"), COUNT + 1, "");
    let text = export(&own);
    let proof = verify_export(text.as_bytes()).unwrap();
    let middle: String = text.lines().take(600).map(|line| line.to_owned() + "\n").collect();
    let event = |(line, seq): (&str, u64)| format!("{{\"id\":\"shop-1-00aa11bb22cc33dd-{seq}\",{}\n", &line[1..]);
    let events = text.lines().zip(1..).map(event).collect::<Vec<_>>().concat();
    let fork = export(&ledger(&folder("fork"), 500, "srt"));
    // From one entry near the end on another word, and every hash behind it made anew.
    let rehashed = export(&ledger(&folder("rehashed"), 990, "whip"));
    all.files.extend([
        ("checkpoint", sign(&proof, 1).into_bytes()),
        ("checkpoint-middle", sign(&verify_export(middle.as_bytes()).unwrap(), 1).into_bytes()),
        ("checkpoint-other-key", sign(&proof, 2).into_bytes()),
        ("checkpoint-fork", sign(&verify_export(fork.as_bytes()).unwrap(), 2).into_bytes()),
    ]);
    let mut prover = Prover::of_inclusion(700, COUNT).unwrap();
    for line in text.lines() {
        prover.append(leaf_hash(line.as_bytes()));
    }
    let checkpoint = SignedCheckpoint::parse(sign(&proof, 1).as_bytes()).unwrap();
    let extra = text.lines().nth(700).map(|line| line.as_bytes().to_vec());
    let file = ProofFile { extra, index: 700, hashes: prover.finish().unwrap(), checkpoint };
    all.files.push(("proof", file.to_string().into_bytes()));
    // Pruned, and as long as before again.
    while own.pruned().unwrap().is_none_or(|tree: CompactRange| tree.size() < 200) {
        assert!(own.prune(Duration::from_hours(24 * 184), &reading(2 * COUNT)).unwrap() > 0);
    }
    let missing = COUNT - own.entries_after(0, 100_000).unwrap().len() as u64;
    let more: Vec<_> = (0..missing).map(|number| (reading(2 * COUNT + number), fact(number, "rtmp"))).collect();
    own.append(&more).unwrap();
    let pruned = export(&own);
    assert_eq!(pruned.lines().count() as u64, COUNT + 1);
    let signed = sign(&verify_export(pruned.as_bytes()).unwrap(), 1).into_bytes();
    all.files.extend([("checkpoint-pruned", signed), ("export", text.into_bytes()), ("events", events.into_bytes())]);
    all.files.extend([
        ("pruned", pruned.into_bytes()),
        ("fork", fork.into_bytes()),
        ("rehashed", rehashed.into_bytes()),
    ]);
    add(&mut all);
    all
}

fn add(all: &mut Cases) {
    for (base, checkpoint) in [
        ("export", ""),
        ("export", "checkpoint"),
        ("export", "checkpoint-middle"),
        ("events", "checkpoint"),
        ("pruned", ""),
        ("pruned", "checkpoint"),
        ("pruned", "checkpoint-pruned"),
        ("fork", ""),
        ("rehashed", ""),
        ("rehashed", "checkpoint-middle"),
        ("proof", ""),
        ("checkpoint", ""),
    ] {
        all.good(base, checkpoint);
    }
    // Another ledger under this one's checkpoint, and this one under a checkpoint of another key.
    for (base, checkpoint) in [
        ("fork", "checkpoint"),
        ("fork", "checkpoint-middle"),
        ("rehashed", "checkpoint"),
        ("export", "checkpoint-pruned"),
        ("export", "checkpoint-other-key"),
        ("fork", "checkpoint-fork"),
    ] {
        all.change(&format!("{base} with {checkpoint}"), base, 0..0, &[], checkpoint);
    }
    for (base, checkpoint) in [("export", "checkpoint"), ("pruned", "checkpoint-pruned")] {
        all.moves(base, checkpoint, 97);
    }
    let is_long = std::env::var_os("TALLYBOX_LONG").is_some();
    let every = |place: usize, bit: usize| is_long || bit == place % 8;
    // A bit of every byte, in the long form every bit: of an entry without and one with readings, and of the line about
    // what was pruned with the entry behind.
    let lines = all.lines("export");
    let number = |seq: u64| usize::try_from(seq).unwrap();
    all.flips("export", lines[2]..lines[3], "checkpoint", every);
    all.flips("export", lines[number(OLD) + 3]..lines[number(OLD) + 4], "checkpoint", every);
    // The last entry: a bit of every seventh byte, in turn, as each time all is read.
    let turn = |place: usize, bit: usize| place.is_multiple_of(7) && bit == place / 7 % 8;
    all.flips("export", lines[lines.len() - 2]..lines[lines.len() - 1] - 1, "checkpoint", turn);
    let lines = all.lines("pruned");
    all.flips("pruned", 0..lines[2], "checkpoint-pruned", every);
    let proof = all.file("proof").len();
    all.flips("proof", 0..proof, "", every);
    let checkpoint = all.file("checkpoint").len();
    all.flips("checkpoint", 0..checkpoint, "", every);
}

#[test]
fn whatever_is_done_to_a_thousand_entries_shows_in_both_verifiers() {
    let dir = tempfile::tempdir().unwrap();
    let all = cases(dir.path());
    let python = verify_all_in_python(&all, dir.path());
    assert_eq!(python.len(), all.cases.len());
    let wrong: Vec<_> = all
        .cases
        .iter()
        .zip(&python)
        .map(|(case, python)| (case, verify_one(&all, case), *python))
        .filter(|(case, rust, python)| *rust != case.good || *python != case.good)
        .map(|(case, rust, python)| format!("{}: Rust {rust}, Python {python}", case.name))
        .collect();
    let good = all.cases.iter().filter(|case| case.good).count();
    println!("{} changed files, all refused; {good} good ones, all taken; by both verifiers", all.cases.len() - good);
    assert!(wrong.is_empty(), "{} of {}: {:#?}", wrong.len(), all.cases.len(), &wrong[..wrong.len().min(20)]);
    let size = |name: &str| all.file(name).len();
    println!("checkpoint {} bytes, proof of an entry {} bytes", size("checkpoint"), size("proof"));
    let line: Value = serde_json::from_slice(all.file("export").split(|byte| *byte == b'\n').next().unwrap()).unwrap();
    assert_eq!(line["seq"], 1);
}
