//! What the operator is told of a command: each box that did not do it, and how many did.

use std::collections::BTreeMap;
use std::io::IsTerminal;

use serde::Serialize;
use tallybox::exit::Exit;

use super::Reply;
use super::dispatch::{Dispatch, Outcome};
use crate::output;
use crate::view;

/// One box. The fields are stable: docs/fleet.md has them.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct BoxLine<'a> {
    #[serde(rename = "box")]
    id: &'a str,
    outcome: Outcome,
    code: Option<&'a str>,
    error: Option<&'a str>,
    phase: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    diagnosis: Option<&'a serde_json::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    receipt: Option<&'a str>,
}

/// Progress of one box.
#[derive(Serialize)]
struct ProgressLine<'a> {
    #[serde(rename = "box")]
    id: &'a str,
    progress: &'a str,
}

/// All boxes together.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct SummaryLine<'a> {
    boxes: u32,
    outcomes: BTreeMap<Outcome, u32>,
    paused: Option<&'a str>,
    not_sent: Vec<&'a str>,
}

pub(super) struct Report {
    json: bool,
    draws: bool,
}

impl Report {
    pub(super) fn new(json: bool) -> Self {
        Self { json, draws: !json && std::io::stderr().is_terminal() }
    }

    /// A line that is drawn over.
    pub(super) fn progress(&self, dispatch: &Dispatch) {
        if self.draws {
            let counts = words(&dispatch.counts());
            eprint!("\r{} of {} boxes: {counts}\x1b[K", dispatch.done(), dispatch.done() + dispatch.left());
        }
    }

    /// A box tells how far it is.
    pub(super) fn told(&self, id: &str, progress: &str) -> Result<(), Exit> {
        self.clear();
        if self.json {
            return output::json(&ProgressLine { id, progress });
        }
        output::line(&format!("{id:<24} {progress}"))
    }

    /// A box has its outcome.
    pub(super) fn outcome(&self, id: &str, outcome: Outcome, reply: &Reply) -> Result<(), Exit> {
        let (code, error) = (reply.code.as_deref(), reply.error.as_deref());
        if self.json {
            let phase = reply.state.as_ref().map(view::phase);
            let (diagnosis, receipt) = (reply.diagnosis.as_ref(), reply.receipt.as_deref());
            return output::json(&BoxLine { id, outcome, code, error, phase, diagnosis, receipt });
        }
        self.clear();
        let diagnosis = reply.diagnosis.as_ref().map(ToString::to_string);
        let said = error.or(diagnosis.as_deref()).unwrap_or_default();
        output::line(format!("{id:<24} {:<8} {said}", word(outcome)).trim_end())
    }

    /// All is over.
    pub(super) fn finish(&self, dispatch: &Dispatch, away: usize, interrupted: bool) -> Result<(), Exit> {
        self.clear();
        let mut outcomes = dispatch.counts();
        if away > 0 {
            outcomes.insert(Outcome::Away, u32::try_from(away).unwrap_or(u32::MAX));
        }
        let boxes: u32 = outcomes.values().sum();
        let done = outcomes.get(&Outcome::Done).copied().unwrap_or(0);
        let counts = words(&outcomes);
        if self.json {
            let not_sent = dispatch.not_sent().collect();
            output::json(&SummaryLine { boxes, outcomes, paused: dispatch.paused(), not_sent })?;
        } else {
            output::line(&format!("{boxes} boxes: {counts}"))?;
        }
        if let Some(why) = dispatch.paused() {
            let why =
                format!("paused: {why}; look into it, then name the boxes that are left, or raise --max-failures");
            return Err(Exit::temporary(why));
        }
        if interrupted {
            return Err(Exit::temporary("interrupted: boxes that were asked may still do it"));
        }
        if boxes == 0 {
            return Err(Exit::unavailable("no box that is online fits"));
        }
        if done < boxes {
            Err(Exit::unavailable(format!("{} of {boxes} boxes did not do it", boxes - done)))
        } else {
            Ok(())
        }
    }

    fn clear(&self) {
        if self.draws {
            eprint!("\r\x1b[K");
        }
    }
}

fn words(counts: &BTreeMap<Outcome, u32>) -> String {
    let words: Vec<String> = counts.iter().map(|(outcome, count)| format!("{count} {}", word(*outcome))).collect();
    if words.is_empty() { "none".to_owned() } else { words.join(", ") }
}

const fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Done => "done",
        Outcome::Refused => "refused",
        Outcome::Failed => "failed",
        Outcome::Busy => "busy",
        Outcome::Silent => "silent",
        Outcome::Away => "away",
        Outcome::NotSent => "not sent",
    }
}
