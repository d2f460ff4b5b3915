//! A fuzz target: what an installer brings.

use super::answers;
use crate::fuzzing::oracle::{CANARY, assert_told};

/// Any text as the answers for an unattended setup: whatever is wrong is told with its place, and never quoted.
pub(crate) fn setup_answers(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Err(told) = answers::parse(&text) {
        assert_told(&told);
        let in_a_key = text.lines().any(|line| line.split('=').next().is_some_and(|key| key.contains(CANARY)));
        assert!(in_a_key || !told.contains(CANARY), "{told}");
    }
}
