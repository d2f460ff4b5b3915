//! What staff were asked and did not agree to: nobody is asked the same again until something changes.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// So many times staff may not agree before nothing more is asked: whoever varies a question until somebody gives in
/// finds no more of them. Ours.
const MOST: u32 = 5;
/// Bytes of a question's hash that are kept.
const HASH_BYTES: usize = 8;
/// What counts as a change.
const UNTIL: &str = "until they acknowledge another policy, or the configuration of the box itself changes";

/// The questions that were not agreed to since something changed last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Refusals {
    /// Hashes of the questions.
    pub(crate) questions: BTreeSet<String>,
    /// How often staff did not agree.
    pub(crate) times: u32,
}

impl Refusals {
    /// Whether staff may be asked all of this. It is judged by what staff would be asked, not by how it came: another
    /// id, version, spelling, verb or document is the same question.
    ///
    /// # Errors
    /// Why not, and what has to change.
    pub fn judge<'a>(&self, asks: impl IntoIterator<Item = &'a String>) -> Result<(), String> {
        if self.times >= MOST {
            return Err(format!("staff did not agree {} times: they are asked nothing more {UNTIL}", self.times));
        }
        match asks.into_iter().find(|ask| self.questions.contains(&hash(ask))) {
            Some(ask) => {
                Err(format!("staff were asked before, and did not agree: {ask}; they are not asked again {UNTIL}"))
            }
            None => Ok(()),
        }
    }

    /// The hashes of questions, as the ledger has them.
    pub fn hashes(asks: &[String]) -> Vec<String> {
        let hashes: BTreeSet<String> = asks.iter().map(|ask| hash(ask)).collect();
        hashes.into_iter().collect()
    }

    /// Staff did not agree to the questions with these hashes.
    pub fn add(&mut self, questions: &[String]) {
        self.times = self.times.saturating_add(1);
        self.questions.extend(questions.iter().cloned());
    }

    /// Something changed.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

fn hash(ask: &str) -> String {
    crate::hex(&Sha256::digest(ask)[..HASH_BYTES])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asks(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn the_same_is_not_asked_again_and_five_refusals_end_all_questions() {
        let mut refusals = Refusals::default();
        assert_eq!(refusals.judge(&asks(&["a server: one"])), Ok(()));
        refusals.add(&Refusals::hashes(&asks(&["a server: one", "a microphone"])));
        let why = refusals.judge(&asks(&["a camera", "a microphone"])).unwrap_err();
        assert!(why.contains("did not agree: a microphone") && why.contains("another policy"), "{why}");
        assert_eq!(refusals.judge(&asks(&["a server: two"])), Ok(()));
        for number in 2..=MOST {
            refusals.add(&Refusals::hashes(&asks(&[&format!("a server: {number}")])));
        }
        assert!(refusals.judge(&asks(&["a server: never asked"])).unwrap_err().contains("nothing more"));
        refusals.clear();
        assert_eq!(refusals.judge(&asks(&["a microphone"])), Ok(()));
    }
}
