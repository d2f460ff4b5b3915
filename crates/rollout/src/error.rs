//! Why a document is refused.

/// A document is none, or says something that it may not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the release document is refused: {0}")]
pub struct ReleaseError(pub(crate) String);

/// Longest text of a parser's that is told, in bytes.
const MAX_TOLD: usize = 300;

impl ReleaseError {
    /// What a parser says, which repeats words of the document: those that no release has are left out.
    pub(crate) fn of_json(error: &serde_json::Error) -> Self {
        let is_plain = |letter: &char| letter.is_ascii_graphic() || *letter == ' ';
        Self(error.to_string().chars().filter(is_plain).take(MAX_TOLD).collect())
    }
}

pub(crate) fn refuse<T>(why: impl Into<String>) -> Result<T, ReleaseError> {
    Err(ReleaseError(why.into()))
}
