//! `verify`: the hash chains of archived events, and a checkpoint that the box signed over them.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use notes::{Note, VerifierKey};
use serde::Serialize;
use sha2::{Digest, Sha256};
use tallybox::exit::Exit;
use tallybox::ledger::{VerifiedExport, verify_export};

use crate::{files, output};

/// Longest checkpoint, in bytes.
const MAX_CHECKPOINT_BYTES: u64 = 8 * 1024;

/// What is verified.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// Archives, and files of events or of `tallybox ledger export`.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// A checkpoint of the ledger in the one file that is named.
    #[arg(long, value_name = "FILE", requires = "box_key")]
    checkpoint: Option<PathBuf>,
    /// The box's key, as `identity.verifier-key` in `status --json` has it.
    #[arg(long, value_name = "KEY", requires = "checkpoint")]
    box_key: Option<VerifierKey>,
    /// A line of JSON for each file, with stable fields.
    #[arg(long)]
    json: bool,
}

/// One file. The fields are stable: docs/fleet.md has them.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Row<'a> {
    file: &'a str,
    good: bool,
    entries: Option<u64>,
    first: Option<u64>,
    last: Option<u64>,
    hash: Option<&'a str>,
    /// Whether it begins with the ledger's very first entry.
    whole: Option<bool>,
    error: Option<String>,
}

/// Verifies all files; fails if one does not verify.
pub(crate) fn run(args: &Args) -> Result<(), Exit> {
    let mut files = Vec::new();
    for path in &args.files {
        collect(path, &mut files)?;
    }
    if files.is_empty() {
        return Err(Exit::no_input("there is no file of events (*.jsonl) there"));
    }
    let mut bad = 0;
    for file in &files {
        bad += usize::from(!verify(file, args.json)?);
    }
    if bad > 0 {
        return Err(Exit::data(format!("{bad} of {} files do not verify", files.len())));
    }
    match (&args.checkpoint, &args.box_key, files.as_slice()) {
        (Some(checkpoint), Some(key), [file]) => verify_checkpoint(checkpoint, key, file, args.json),
        (Some(_), _, _) => Err(Exit::usage("a checkpoint is of one ledger: name its file alone")),
        (None, _, _) => Ok(()),
    }
}

/// The files of events in a folder and below, in order; a file that is named is one whatever it is called.
fn collect(path: &Path, files: &mut Vec<PathBuf>) -> Result<(), Exit> {
    let failed = |error: std::io::Error| Exit::no_input(format!("{}: {error}", path.display()));
    if !path.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    let mut entries: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(path).map_err(failed)? {
        entries.push(entry.map_err(failed)?.path());
    }
    entries.sort();
    for entry in entries {
        if entry.is_dir() {
            collect(&entry, files)?;
        } else if entry.extension().is_some_and(|end| end == "jsonl") {
            files.push(entry);
        }
    }
    Ok(())
}

fn open(path: &Path) -> Result<BufReader<std::fs::File>, Exit> {
    let file = std::fs::File::open(path).map_err(|error| Exit::no_input(format!("{}: {error}", path.display())))?;
    Ok(BufReader::new(file))
}

/// Verifies one file, and says how it is.
fn verify(path: &Path, json: bool) -> Result<bool, Exit> {
    let file = path.to_string_lossy();
    match verify_export(open(path)?) {
        Ok(proof) => {
            let whole = proof.is_whole();
            let VerifiedExport { entries, first, last, hash, .. } = &proof;
            if json {
                let (entries, first, last, hash) = (Some(*entries), Some(*first), Some(*last), Some(hash.as_str()));
                output::json(&Row {
                    file: &file,
                    good: true,
                    entries,
                    first,
                    last,
                    hash,
                    whole: Some(whole),
                    error: None,
                })?;
            } else {
                output::line(&format!("{file}: good, entries {first} to {last}, hash {hash}"))?;
            }
            Ok(true)
        }
        Err(error) => {
            let error = error.to_string();
            if json {
                let (entries, first, last) = (None, None, None);
                let error = Some(error);
                output::json(&Row { file: &file, good: false, entries, first, last, hash: None, whole: None, error })?;
            } else {
                output::line(&format!("{file}: does not verify: {error}"))?;
            }
            Ok(false)
        }
    }
}

/// A C2SP checkpoint: origin, size and root, signed by the box's key.
fn verify_checkpoint(checkpoint: &Path, key: &VerifierKey, events: &Path, json: bool) -> Result<(), Exit> {
    let wrong = |why: String| Exit::data(format!("{}: {why}", checkpoint.display()));
    let bytes = files::read(checkpoint, MAX_CHECKPOINT_BYTES)?;
    let note = Note::parse(&bytes).map_err(|error| wrong(error.to_string()))?;
    match note.is_signed_by(key) {
        Some(true) => {}
        Some(false) => return Err(wrong(format!("its signature by {} does not verify", key.name()))),
        None => return Err(wrong(format!("it is not signed by {}", key.name()))),
    }
    let mut lines = note.text().lines();
    let (origin, size, root) = (lines.next(), lines.next(), lines.next());
    let (Some(origin), Some(size), Some(root)) = (origin, size.and_then(|size| size.parse::<u64>().ok()), root) else {
        return Err(wrong("it is no checkpoint: it has no origin, size and root".to_owned()));
    };
    let computed = base64(&merkle_root(events, size)?);
    if computed != root {
        return Err(wrong(format!("its root is not that of the first {size} entries of {}", events.display())));
    }
    if json {
        return output::json(&serde_json::json!({ "checkpoint": origin, "size": size, "root": root, "good": true }));
    }
    output::line(&format!("checkpoint of {origin}: good, the first {size} entries, root {root}"))
}

/// The RFC 6962 tree hash over the first `size` lines of a ledger, each as `ledger export` has it.
fn merkle_root(path: &Path, size: u64) -> Result<[u8; 32], Exit> {
    let failed = |error: std::io::Error| Exit::io(format!("{}: {error}", path.display()));
    let mut tree = Tree::default();
    for line in open(path)?.lines() {
        if tree.size == size {
            break;
        }
        let line = line.map_err(failed)?;
        if !line.trim().is_empty() {
            let leaf = as_exported(&line).ok_or_else(|| Exit::data(format!("{}: it is no JSON", path.display())))?;
            if tree.size == 0 && !leaf.starts_with("{\"seq\":1,") {
                let why = "it does not begin with the ledger's first entry, and a root is over all of them";
                return Err(Exit::data(format!("{}: {why}", path.display())));
            }
            tree.add(leaf.as_bytes());
        }
    }
    if tree.size < size {
        let why = format!("it has {} entries, and the checkpoint is over {size}", tree.size);
        return Err(Exit::data(format!("{}: {why}", path.display())));
    }
    Ok(tree.root())
}

/// An event without the id that it has over MQTT.
fn as_exported(line: &str) -> Option<String> {
    let mut value: serde_json::Value = serde_json::from_str(line).ok()?;
    value.as_object_mut()?.shift_remove("id");
    serde_json::to_string(&value).ok()
}

/// A Merkle tree of which only the roots of whole subtrees are kept: their sizes are those of the bits of `size`.
#[derive(Default)]
struct Tree {
    size: u64,
    roots: Vec<[u8; 32]>,
}

impl Tree {
    fn add(&mut self, leaf: &[u8]) {
        self.roots.push(Sha256::new().chain_update([0]).chain_update(leaf).finalize().into());
        for _ in 0..self.size.trailing_ones() {
            self.join();
        }
        self.size += 1;
    }

    /// Makes one of the last two.
    fn join(&mut self) {
        if let (Some(right), Some(left)) = (self.roots.pop(), self.roots.pop()) {
            self.roots.push(Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into());
        }
    }

    fn root(mut self) -> [u8; 32] {
        while self.roots.len() > 1 {
            self.join();
        }
        self.roots.pop().unwrap_or_else(|| Sha256::digest([]).into())
    }
}

/// Base 64 with padding (RFC 4648, section 4).
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let number =
            chunk.iter().fold(0_usize, |number, byte| number << 8 | usize::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let digit = DIGITS[number >> (18 - 6 * place) & 63];
            text.push(if place <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The roots of the test vectors of certificate-transparency (`merkle_tree_test.cc`), by RFC 6962's authors.
    #[test]
    fn roots_are_those_of_the_published_vectors() {
        let leaves: [&[u8]; 4] = [b"", b"\x00", b"\x10", b"\x20\x21"];
        let roots = [
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ];
        for size in 1..=4 {
            let mut tree = Tree::default();
            leaves[..size].iter().for_each(|leaf| tree.add(leaf));
            let wanted: Vec<u8> =
                (0..32).map(|at| u8::from_str_radix(&roots[size - 1][2 * at..2 * at + 2], 16).unwrap()).collect();
            assert_eq!(tree.root().as_slice(), wanted, "{size}");
        }
    }

    #[test]
    fn base64_is_that_of_the_rfc() {
        for (text, encoded) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")] {
            assert_eq!(base64(text.as_bytes()), encoded);
        }
    }
}
