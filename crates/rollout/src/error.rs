//! Why a document is refused.

/// A document is none, or says something that it may not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the release document is refused: {0}")]
pub struct ReleaseError(pub(crate) String);

pub(crate) fn refuse<T>(why: impl Into<String>) -> Result<T, ReleaseError> {
    Err(ReleaseError(why.into()))
}
