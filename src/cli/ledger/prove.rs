//! `tallybox ledger prove`: proofs that anybody can check without this box.

use std::io::Write;
use std::path::{Path, PathBuf};

use tlog::{CompactRange, GrowthFile, ProofFile, Prover, SignedCheckpoint, leaf_hash};

use crate::atomic_file::{self, BY_UMASK, Durability};
use crate::exit::Exit;
use crate::ipc::{Fact, LedgerEntry, StoredFact};
use crate::ledger::Ledger;

/// What is proved.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// The session's number, as `ledger show` and the MQTT `state` have it.
    session: u64,
    /// Write a file for each entry into this folder, which has to be there, instead of all to the standard output.
    #[arg(long, value_name = "FOLDER")]
    output: Option<PathBuf>,
}

/// The newest checkpoint, printed as it was signed, and a proof that it continues the one in the file `since`.
pub(super) fn checkpoint(ledger: &Ledger, since: Option<&Path>) -> Result<(), Exit> {
    let note = newest(ledger)?;
    let Some(since) = since else {
        print!("{note}");
        return Ok(());
    };
    let name = since.display();
    let old = super::verify::read(since)?;
    let checkpoint = SignedCheckpoint::parse(note.as_bytes()).map_err(|error| Exit::data(error.to_string()))?;
    let (known, size) = (old.unverified(), checkpoint.unverified().size);
    if known.size > size {
        return Err(Exit::data(format!(
            "{name} is of {} entries, and the newest checkpoint is of {size}: it is of another ledger, or this one was put \
             back from a backup",
            known.size
        )));
    }
    let empty = || Exit::usage(format!("{name} is of no entries: every ledger begins with those"));
    let mut prover = Prover::of_consistency(known.size, size).ok_or_else(empty)?;
    let root = ledger.root_at(known.size)?;
    pass(ledger, &checkpoint, std::slice::from_mut(&mut prover))?;
    let pruned = || Exit::unavailable("entries of that checkpoint's time were pruned: take one that is not so old");
    let (root, hashes) = root.zip(prover.finish()).ok_or_else(pruned)?;
    if root != known.root {
        return Err(Exit::data(format!("{name} is of other entries than this ledger has")));
    }
    print!("{}", GrowthFile { old: known.size, hashes, checkpoint });
    Ok(())
}

fn newest(ledger: &Ledger) -> Result<&str, Exit> {
    if ledger.pruned()?.is_none() {
        return Err(Exit::unavailable(
            "the ledger has no checkpoints: an older version pruned its beginning, which a Merkle tree needs",
        ));
    }
    let none = "no checkpoint was signed yet: the guard signs one when it starts, at each session's end, and daily";
    ledger.checkpoint().ok_or_else(|| Exit::unavailable(none))
}

/// Whether an entry is the beginning or the end of a session, and what to call its file.
fn part(fact: &StoredFact, wanted: u64) -> Option<&'static str> {
    let StoredFact::Known(fact) = fact else { return None };
    #[allow(clippy::wildcard_enum_match_arm)] // of all the facts these four begin and end sessions
    match fact {
        Fact::SessionStarted { session, .. } | Fact::Probed { session, .. } => (*session == wanted).then_some("start"),
        Fact::SessionStopped { session, .. } | Fact::SessionInterrupted { session } => {
            (*session == wanted).then_some("end")
        }
        _ => None,
    }
}

/// Proves beginning and end of a session.
pub(super) fn run(ledger: &Ledger, args: &Args) -> Result<(), Exit> {
    let note = newest(ledger)?.to_owned();
    let checkpoint = SignedCheckpoint::parse(note.as_bytes()).map_err(|error| Exit::data(error.to_string()))?;
    let (size, session) = (checkpoint.unverified().size, args.session);
    let mut found: Vec<(&'static str, LedgerEntry)> = Vec::new();
    each(ledger, |entry| found.extend(part(&entry.fact, session).map(|part| (part, entry.clone()))))?;
    if found.is_empty() {
        return Err(Exit::unavailable(format!(
            "the ledger has no session {session}: it never was, or its time was up and it was pruned; see tallybox ledger \
             show"
        )));
    }
    if !found.iter().any(|(part, _)| *part == "end") {
        eprintln!("session {session} has no end yet");
    }
    let (covered, later): (Vec<_>, Vec<_>) = found.into_iter().partition(|(_, entry)| entry.seq <= size);
    if let Some((part, entry)) = later.first() {
        eprintln!(
            "the {part} of session {session} is entry {}, and the newest checkpoint is of {size} entries: the guard \
             signs the next one at a session's end, or within a day",
            entry.seq
        );
    }
    if covered.is_empty() {
        return Err(Exit::unavailable("nothing can be proved yet"));
    }
    let proofs = prove(ledger, &covered, &checkpoint)?;
    write(&proofs, &covered, args)
}

/// Calls `seen` with all entries, in order.
fn each(ledger: &Ledger, mut seen: impl FnMut(&LedgerEntry)) -> Result<(), Exit> {
    let mut after = 0;
    loop {
        let page = ledger.entries_after(after, super::PAGE)?;
        let Some(last) = page.last() else { return Ok(()) };
        after = last.seq;
        page.iter().for_each(&mut seen);
    }
}

fn prove(
    ledger: &Ledger,
    entries: &[(&'static str, LedgerEntry)],
    checkpoint: &SignedCheckpoint,
) -> Result<Vec<String>, Exit> {
    let size = checkpoint.unverified().size;
    let changed = || Exit::temporary("entries were pruned meanwhile: try again");
    let mut provers: Vec<Prover> = Vec::new();
    for (_, entry) in entries {
        provers.push(Prover::of_inclusion(entry.seq - 1, size).ok_or_else(changed)?);
    }
    pass(ledger, checkpoint, &mut provers)?;
    let files = entries.iter().zip(provers).map(|((_, entry), prover)| {
        let hashes = prover.finish().ok_or_else(changed)?;
        let extra = Some(entry.line().into_bytes());
        let file = ProofFile { extra, index: entry.seq - 1, hashes, checkpoint: checkpoint.clone() };
        Ok(file.to_string())
    });
    files.collect()
}

/// Lets all that the checkpoint is of pass by the provers.
fn pass(ledger: &Ledger, checkpoint: &SignedCheckpoint, provers: &mut [Prover]) -> Result<(), Exit> {
    let size = checkpoint.unverified().size;
    let mut tree: CompactRange = ledger.pruned()?.unwrap_or_default();
    for prover in provers.iter_mut() {
        prover.skip(&tree);
    }
    each(ledger, |entry| {
        if entry.seq == tree.size() + 1 && tree.size() < size {
            let leaf = leaf_hash(entry.line().as_bytes());
            tree.append(leaf);
            for prover in provers.iter_mut() {
                prover.append(leaf);
            }
        }
    })?;
    if (tree.size(), tree.root()) != (size, checkpoint.unverified().root) {
        return Err(Exit::data(
            "the ledger is not the one that its newest checkpoint is of: see tallybox ledger verify",
        ));
    }
    Ok(())
}

fn write(proofs: &[String], entries: &[(&'static str, LedgerEntry)], args: &Args) -> Result<(), Exit> {
    let Some(folder) = &args.output else {
        let mut out = std::io::stdout().lock();
        return proofs.iter().try_for_each(|proof| write!(out, "{proof}")).map_err(|_| Exit::io(""));
    };
    for (proof, (part, entry)) in proofs.iter().zip(entries) {
        let name = format!("session-{}-{part}-{}.tlog-proof", args.session, entry.seq);
        replace(&folder.join(name), proof)?;
    }
    let lines: String = entries.iter().map(|(_, entry)| entry.line() + "\n").collect();
    replace(&folder.join(format!("session-{}.jsonl", args.session)), &lines)
}

fn replace(path: &Path, content: &str) -> Result<(), Exit> {
    let written = atomic_file::replace(path, content.as_bytes(), BY_UMASK, Durability::Synced);
    written.map_err(|error| {
        let advice = "name a folder that is there and that you may write to";
        Exit::io(format!("{}: {error}; {advice}", path.display()))
    })?;
    println!("{}", path.display());
    Ok(())
}
