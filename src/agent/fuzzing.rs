//! Fuzz targets: commands that nobody signed, and the agent's own files.

use serde_json::Value;

use super::due_answers::DueAnswer;
use super::reply_store::StoredReply;
use super::{outbox, payload};
use crate::fuzzing::oracle::{CANARY, assert_no_secret, assert_told, has_secret_value, round_trip};
use crate::ipc::{LedgerCursor, MAX_ID_BYTES, Parameters, Verb};

/// Any bytes as the payload of each command.
pub(crate) fn command(bytes: &[u8]) {
    let value = serde_json::from_slice::<Value>(bytes).unwrap_or_default();
    // An error repeats a time that is none.
    let in_a_time = ["issued-at", "expires-at"].iter().any(|name| value.get(name).is_some_and(has_secret_value));
    for verb in Verb::ALL {
        match payload::read(verb, bytes) {
            Ok(read) => {
                assert_id(&read.id);
                assert_eq!(read.times.is_none(), matches!(verb, Verb::Stop | Verb::Mute));
                if let Parameters::SetIngest(_) = read.parameters {
                    assert!(!format!("{:?}", read.parameters).contains(CANARY));
                }
            }
            Err((id, why)) => {
                if let Some(id) = id {
                    assert_id(&id);
                }
                assert_told(&why);
                assert!(why.contains("write "), "{why}");
                if has_secret_value(&value) && !in_a_time {
                    assert_no_secret(&why);
                }
            }
        }
    }
    if payload::is_note(bytes) {
        assert_id(&payload::note_id(bytes));
        assert_eq!(payload::note_id(bytes), payload::note_id(bytes));
    }
}

/// An id stands in answers, in the log and in the ledger.
fn assert_id(id: &str) {
    assert!((1..=MAX_ID_BYTES).contains(&id.len()) && !id.chars().any(char::is_control), "{id:?}");
}

/// Any bytes as each file in the agent's folder.
pub(crate) fn files(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Some(LedgerCursor { ledger, seq }) = outbox::parse(&text) {
        assert_eq!(ledger.len(), 64);
        let written = outbox::line(&LedgerCursor { ledger: ledger.clone(), seq });
        assert_eq!(outbox::parse(&written), Some(LedgerCursor { ledger, seq }));
    }
    round_trip::<Vec<StoredReply>>(bytes);
    round_trip::<Vec<DueAnswer>>(bytes);
}
