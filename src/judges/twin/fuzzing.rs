//! A fuzz target: whatever a signed document says that the platform wants.

use notes::DocumentType;

use super::document::Desired;
use crate::fuzzing::notes::{signed, trust};
use crate::fuzzing::oracle::assert_told;

/// Any JSON as the document.
pub(crate) fn document(bytes: &[u8]) {
    let json = String::from_utf8_lossy(bytes).replace(|letter: char| letter.is_control(), " ");
    let Some(note) = signed(DocumentType::Desired, &json) else { return };
    match Desired::read(&note, &trust(), "box-1") {
        Ok(desired) => {
            assert!((1..1 << 53).contains(&desired.version) && desired.values.len() <= 64);
            assert!(desired.values.iter().all(|(key, _)| key.len() <= 64 && key.is_ascii()));
            assert_eq!((desired.note.as_str(), desired.keys.len()), (note.as_str(), 1));
        }
        Err(refusal) => {
            assert_told(refusal.code);
            assert_told(&refusal.text);
        }
    }
    assert!(Desired::read(&note, &notes::Trust::default(), "box-1").is_err());
}
