//! `verify`: the hash chains of archived events, and a checkpoint that the box signed over them.

use std::io::BufReader;
use std::path::{Path, PathBuf};

use notes::VerifierKey;
use serde::Serialize;
use tallybox::exit::Exit;
use tallybox::ledger::{VerifiedExport, verify_export, verify_export_with};
use tlog::{Checkpoint, SignedCheckpoint};

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
    let checkpoint = SignedCheckpoint::parse(&bytes).and_then(|signed| signed.verify(key).cloned());
    let checkpoint = checkpoint.map_err(|error| wrong(error.to_string()))?;
    verify_export_with(open(events)?, &checkpoint)
        .map_err(|error| Exit::data(format!("{}: {error}", events.display())))?;
    let Checkpoint { origin, size, root, .. } = checkpoint;
    if json {
        return output::json(
            &serde_json::json!({ "checkpoint": origin, "size": size, "root": root.to_string(), "good": true }),
        );
    }
    output::line(&format!("checkpoint of {origin}: good, the first {size} entries, root {root}"))
}
