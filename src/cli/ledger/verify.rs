//! `tallybox ledger verify`: proves this box's ledger, or one that was handed out, and proof files.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use notes::VerifierKey;
use tlog::{Checkpoint, GrowthFile, MAX_PROOF_BYTES, ProofFile, SignedCheckpoint};

use crate::config::Config;
use crate::exit::Exit;
use crate::guard::identity;
use crate::ipc::LedgerEntry;
use crate::ledger::{Ledger, VerifiedExport, judge_checkpoint, verify_export, verify_export_with};

/// What a file of SQLite begins with.
const SQLITE: &[u8] = b"SQLite format 3\0";
/// How a proof file begins.
const PROOF: &str = "c2sp.org/tlog-proof@v1\n";
/// How a proof that a log grew begins.
const GROWTH: &[u8] = b"old ";
/// Most proofs in a file: `ledger prove` writes two.
const MAX_PROOFS: usize = 64;

/// What a ledger is held against.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// An export, events as they came over MQTT, a copy of ledger.db, or what `ledger prove` made, instead of this
    /// box's ledger. Needs no configuration and no guard; - is the standard input.
    pub(crate) file: Option<PathBuf>,
    /// Also hold it against a checkpoint that the box signed: nothing up to there is missing or other than it was.
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// The box's key, as `identity.verifier-key` in `status --json` has it; for this box's ledger its own unless given.
    #[arg(long, value_name = "KEY")]
    key: Option<VerifierKey>,
}

fn missing(path: &Path) -> impl Fn(std::io::Error) -> Exit {
    move |error| {
        let kind = error.kind();
        let code: fn(String) -> Exit = if kind == std::io::ErrorKind::NotFound {
            Exit::no_input
        } else if kind == std::io::ErrorKind::PermissionDenied {
            Exit::permission
        } else {
            Exit::io
        };
        code(format!("{}: {error}", path.display()))
    }
}

/// Reads a checkpoint; says nothing about its signature.
pub(super) fn read(path: &Path) -> Result<SignedCheckpoint, Exit> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(missing(path))?;
    file.take(notes::MAX_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(missing(path))?;
    SignedCheckpoint::parse(&bytes).map_err(|error| Exit::data(format!("{}: {error}", path.display())))
}

/// Reads and verifies a checkpoint.
fn checkpoint(path: &Path, key: &VerifierKey) -> Result<Checkpoint, Exit> {
    let verified = read(path)?.verify(key).cloned();
    verified.map_err(|error| Exit::data(format!("{}: {error}", path.display())))
}

/// Proves this box's ledger.
pub(super) fn own(config: &Config, path: &Path, ledger: &Ledger, args: &Args) -> Result<(), Exit> {
    let checkpoint = match &args.checkpoint {
        None => None,
        Some(file) => {
            let key = args.key.clone().map_or_else(|| own_key(config), Ok)?;
            Some(checkpoint(file, &key)?)
        }
    };
    proved(path, ledger, checkpoint.as_ref())
}

fn own_key(config: &Config) -> Result<VerifierKey, Exit> {
    let known = identity::read(&config.device.data_dir, config.device.id.as_deref());
    let identity = known.map_err(|error| Exit::unavailable(error.to_string()))?;
    let key = identity.and_then(|identity| identity.verifier_key.parse().ok());
    key.ok_or_else(|| Exit::unavailable("the box has no key at the moment: give the one it had with --key"))
}

/// Proves what was handed out.
pub(crate) fn file(args: &Args) -> Result<(), Exit> {
    let path = args.file.as_deref().unwrap_or(Path::new("-"));
    let name = path.display().to_string();
    let told = |error: Exit| error.about(&name);
    let needed = || {
        Exit::usage(
            "--key is missing: a signature is verified with the box's key, identity.verifier-key in status --json",
        )
    };
    let checkpoint = match (&args.checkpoint, &args.key) {
        (Some(file), Some(key)) => Some(checkpoint(file, key)?),
        (Some(_), None) => return Err(needed()),
        (None, _) => None,
    };
    let checkpoint = checkpoint.as_ref();
    if path == Path::new("-") {
        return lines("standard input", std::io::stdin().lock(), checkpoint).map_err(told);
    }
    let mut file = BufReader::new(std::fs::File::open(path).map_err(missing(path))?);
    let begin = file.fill_buf().map_err(missing(path))?;
    if begin.starts_with(SQLITE) {
        let ledger = Ledger::open_copy(path).map_err(|error| told(error.into()))?;
        return proved(path, &ledger, checkpoint).map_err(told);
    }
    if begin.starts_with(PROOF.as_bytes()) {
        let key = args.key.as_ref().ok_or_else(needed)?;
        return proofs(&name, file, key).map_err(told);
    }
    if begin.starts_with(GROWTH) {
        let key = args.key.as_ref().ok_or_else(needed)?;
        let old =
            checkpoint.ok_or_else(|| Exit::usage("--checkpoint is missing: the older one, which it continues"))?;
        return growth(&name, file, old, key).map_err(told);
    }
    lines(&name, file, checkpoint).map_err(told)
}

fn proved(path: &Path, ledger: &Ledger, checkpoint: Option<&Checkpoint>) -> Result<(), Exit> {
    let (last, hash, kept) = ledger.verify()?;
    if let Some(checkpoint) = checkpoint {
        let before = ledger.pruned()?.map(|tree| tree.size());
        let root = ledger.root_at(checkpoint.size)?;
        judge_checkpoint(before, last, root, checkpoint).map_err(Exit::data)?;
    }
    println!("{}: {kept} entries up to number {last} verify; last hash {hash}", path.display());
    held(checkpoint);
    Ok(())
}

/// What a checkpoint shows.
fn held(checkpoint: Option<&Checkpoint>) {
    if let Some(Checkpoint { origin, size, root, .. }) = checkpoint {
        println!("entries 1 to {size} are those that {origin} signed: root {root}");
    }
}

fn lines(name: &str, lines: impl BufRead, checkpoint: Option<&Checkpoint>) -> Result<(), Exit> {
    let proof = match checkpoint {
        None => verify_export(lines),
        Some(checkpoint) => verify_export_with(lines, checkpoint),
    }?;
    let VerifiedExport { entries, first, before, last, hash, .. } = &proof;
    println!("{name}: {entries} entries, {first} to {last}, verify; last hash {hash}");
    if !proof.is_whole() {
        println!("it begins behind entry {}, whose hash is {before}", first - 1);
    }
    held(checkpoint);
    if checkpoint.is_none_or(|checkpoint| checkpoint.size != *last) {
        println!("whether entries behind {last} are missing only somebody who knows of later ones can say");
    }
    Ok(())
}

/// A proof that the log only grew since a checkpoint.
fn growth(name: &str, file: impl Read, old: &Checkpoint, key: &VerifierKey) -> Result<(), Exit> {
    let mut bytes = Vec::new();
    file.take(MAX_PROOF_BYTES as u64).read_to_end(&mut bytes).map_err(|error| Exit::io(error.to_string()))?;
    let wrong = |error: tlog::ProofFileError| Exit::data(error.to_string());
    let file = GrowthFile::parse(&bytes).map_err(wrong)?;
    let Checkpoint { origin, size, root, .. } = file.verify(old, key).map_err(wrong)?;
    println!("{name}: {origin} grew from {} entries to {size}, and changed none; root {root}", old.size);
    Ok(())
}

/// Proof files, one after another, each with its entry.
fn proofs(name: &str, file: impl Read, key: &VerifierKey) -> Result<(), Exit> {
    let (mut bytes, most) = (Vec::new(), MAX_PROOF_BYTES * MAX_PROOFS);
    file.take(most as u64 + 1).read_to_end(&mut bytes).map_err(|error| Exit::io(error.to_string()))?;
    let text = String::from_utf8(bytes).map_err(|_| Exit::data("it is not UTF-8"))?;
    if text.len() > most {
        return Err(Exit::data("it is longer than any proof"));
    }
    let starts: Vec<_> = text.match_indices(PROOF).map(|(at, _)| at).chain([text.len()]).collect();
    for (number, ends) in starts.windows(2).enumerate() {
        let wrong = |why: String| Exit::data(format!("proof {}: {why}", number + 1));
        let &[start, end] = ends else { continue };
        let proof = ProofFile::parse(&text.as_bytes()[start..end]).map_err(|error| wrong(error.to_string()))?;
        let entry = proof.extra.as_deref().ok_or_else(|| wrong("the entry itself is not in it".to_owned()))?;
        let checkpoint = proof.verify(entry, key).map_err(|error| wrong(error.to_string()))?;
        let entry: LedgerEntry = serde_json::from_slice(entry).map_err(|error| wrong(error.to_string()))?;
        if entry.seq != proof.index + 1 {
            return Err(wrong(format!("its entry says number {}, and stands at {}", entry.seq, proof.index + 1)));
        }
        println!("{name}: in {}, which signed {} entries:", checkpoint.origin, checkpoint.size);
        println!("{}", super::describe(&entry));
    }
    Ok(())
}
