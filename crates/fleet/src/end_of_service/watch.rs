//! What becomes of a note that ends the service: each box tells it by an event with a receipt, by its state, or by the
//! refusal that its ledger has.

use std::collections::BTreeMap;

use rumqttc::mqttbytes::v5::Publish;
use serde::Serialize;
use serde_json::Value;
use tallybox::clock::Clock;
use tallybox::exit::Exit;
use tallybox::runtime::ShutdownSignals;

use super::{PublishArgs, has_ended};
use crate::connection::{Connection, Heard};
use crate::output;
use crate::receipts::{self, Receipts};
use crate::view::{self, State};

/// How far a box is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is online, and has not told yet.
    Waiting,
    /// It is not online: the broker keeps the note for it.
    Away,
    /// Its service ended before.
    EndedBefore,
    /// It captures nothing any more, and has not told yet that everything is deleted.
    Ending,
    /// All is deleted; with its receipt, unless its key could not sign one.
    Ended(Option<String>),
    /// It does not take the note, and says why.
    Refused(String),
}

impl Standing {
    /// Whether nothing more is waited for.
    const fn is_settled(&self) -> bool {
        matches!(self, Self::Away | Self::EndedBefore | Self::Ended(_) | Self::Refused(_))
    }

    /// The word, and what it means where that is not plain.
    fn told(&self) -> (&'static str, Option<&str>) {
        match self {
            Self::Ended(Some(_)) => ("ended", None),
            Self::Ended(None) => ("ended", Some("without a receipt: its key could not sign one")),
            Self::EndedBefore => ("ended", Some("before: status --json at the box has the receipt")),
            Self::Ending => ("ending", Some("what has to be deleted is not deleted yet: look at its status")),
            Self::Away => ("away", Some("the broker keeps the note until it comes")),
            Self::Waiting => ("silent", Some("it told nothing: a refusal is told once; see its earlier events")),
            Self::Refused(why) => ("refused", Some(why)),
        }
    }
}

/// One box. The fields are stable: docs/fleet.md has them.
#[derive(Serialize)]
struct BoxLine<'a> {
    #[serde(rename = "box")]
    id: &'a str,
    outcome: &'static str,
    error: Option<&'a str>,
    receipt: Option<&'a str>,
}

/// All of them.
#[derive(Serialize)]
struct SummaryLine {
    boxes: usize,
    outcomes: BTreeMap<&'static str, usize>,
}

/// Listens until each box has told, at most for as long as boxes may take.
pub(super) async fn follow(
    args: &PublishArgs,
    mut connection: Connection,
    boxes: impl Iterator<Item = (String, Standing)>,
    mut receipts: Receipts,
) -> Result<(), Exit> {
    let mut boxes: BTreeMap<String, Standing> = boxes.collect();
    let mut shutdown = ShutdownSignals::listen_in_terminal()?;
    let clock = Clock::start();
    let end = clock.to_instant(clock.now().saturating_add(args.timeout));
    while boxes.values().any(|standing| !standing.is_settled()) {
        let heard = tokio::select! {
            _ = shutdown.recv() => break,
            () = tokio::time::sleep_until(end) => break,
            heard = connection.recv() => heard,
        };
        match heard {
            Heard::Connected => {}
            Heard::Lost(why) => eprintln!("the connection is lost, and made again: {why}"),
            Heard::Message(message) => hear(args, &mut boxes, &message, &mut receipts)?,
        }
    }
    connection.close().await;
    finish(args.json, &boxes)
}

fn hear(
    args: &PublishArgs,
    boxes: &mut BTreeMap<String, Standing>,
    message: &Publish,
    receipts: &mut Receipts,
) -> Result<(), Exit> {
    let topic = String::from_utf8_lossy(&message.topic).into_owned();
    let Some((id, name)) = view::split_topic(&args.broker.prefix, &topic) else { return Ok(()) };
    let Some(standing) = boxes.get_mut(id) else { return Ok(()) };
    match name {
        "event" => {
            let Some(next) = told(&message.payload) else { return Ok(()) };
            let is_over = matches!(standing, Standing::Ended(_));
            if let (Standing::Ended(Some(receipt)), false) = (&next, is_over) {
                receipts.keep(id, receipt)?;
            }
            // What a box that was away tells first is from before. And what has ended stays so.
            if matches!(next, Standing::Ended(_)) && !is_over || *standing == Standing::Waiting {
                *standing = next;
            }
        }
        "state" if matches!(standing, Standing::Waiting | Standing::Away | Standing::Refused(_)) => {
            let ends = view::parse::<State>(&message.payload).is_some_and(|state| has_ended(&state));
            if ends {
                *standing = Standing::Ending;
            }
        }
        _ => {}
    }
    Ok(())
}

/// What an event says of it.
fn told(payload: &[u8]) -> Option<Standing> {
    let event: Value = serde_json::from_slice(payload).ok()?;
    let fact = &event["fact"];
    match fact["kind"].as_str()? {
        "service-ended" => {
            let receipt = fact["receipt"].as_str().and_then(receipts::checked);
            Some(Standing::Ended(receipt.map(str::to_owned)))
        }
        "end-of-service-received" => Some(Standing::Ending),
        "command-refused" if fact["verb"] == "policy" => {
            Some(Standing::Refused(view::clean(fact["why"].as_str().unwrap_or_default())))
        }
        _ => None,
    }
}

fn finish(json: bool, boxes: &BTreeMap<String, Standing>) -> Result<(), Exit> {
    let mut outcomes: BTreeMap<&'static str, usize> = BTreeMap::new();
    for (id, standing) in boxes {
        let (outcome, error) = standing.told();
        *outcomes.entry(outcome).or_default() += 1;
        if json {
            let receipt = if let Standing::Ended(receipt) = standing { receipt.as_deref() } else { None };
            output::json(&BoxLine { id, outcome, error, receipt })?;
        } else {
            output::line(format!("{id:<24} {outcome:<8} {}", error.unwrap_or_default()).trim_end())?;
        }
    }
    let ended = outcomes.get("ended").copied().unwrap_or(0);
    let (count, left) = (boxes.len(), boxes.len() - ended);
    if json {
        output::json(&SummaryLine { boxes: count, outcomes })?;
    } else {
        output::line(&format!("{count} boxes: {ended} ended"))?;
    }
    if left > 0 {
        Err(Exit::unavailable(format!("{left} of {count} boxes have not ended the service")))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_event_tells_what_became_of_it() {
        let say = |fact: Value| told(json!({ "fact": fact }).to_string().as_bytes());
        assert_eq!(say(json!({"kind": "end-of-service-received", "digest": "0f"})), Some(Standing::Ending));
        assert_eq!(say(json!({"kind": "service-ended", "files": 3})), Some(Standing::Ended(None)));
        let no_note = say(json!({"kind": "service-ended", "files": 3, "receipt": "thanks"}));
        assert_eq!(no_note, Some(Standing::Ended(None)), "what is no receipt is none");
        let refused = say(json!({"kind": "command-refused", "verb": "policy", "why": "no\u{1b}[2J key"}));
        assert_eq!(refused, Some(Standing::Refused("no [2J key".to_owned())));
        assert_eq!(say(json!({"kind": "command-refused", "verb": "erase", "why": "x"})), None);
        assert_eq!(told(b"no JSON"), None);
    }
}
