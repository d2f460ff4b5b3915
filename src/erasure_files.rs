//! How the guard asks the helper that runs as root to delete credentials, which lie where only root may write. The
//! answer comes through the guard's socket.

use crate::ipc::WHY;

/// The request, in `data-dir`: a systemd path unit waits for it, and the guard removes it.
pub(crate) const REQUEST: &str = "credentials-erasure";
/// Longest request, in bytes.
pub(crate) const MAX_REQUEST_BYTES: u64 = WHY as u64;

/// What a request says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ErasureRequest {
    /// The guard's name for it: 16 hex digits.
    pub(crate) attempt: String,
    /// Hash of the configuration that is unbound: under another one its credentials are the next shop's.
    pub(crate) configuration: String,
}

impl ErasureRequest {
    /// The content of [`REQUEST`].
    pub(crate) fn text(&self) -> String {
        format!("{} {}\n", self.attempt, self.configuration)
    }

    /// The request with this content; `None`: it is none.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (attempt, configuration) = text.strip_suffix('\n')?.split_once(' ')?;
        let is_hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        (attempt.len() == 16 && configuration.len() == 64 && is_hex(attempt) && is_hex(configuration))
            .then(|| Self { attempt: attempt.to_owned(), configuration: configuration.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::ErasureRequest;

    #[test]
    fn nothing_else_is_a_request() {
        let request = ErasureRequest { attempt: "0123456789abcdef".to_owned(), configuration: "ab".repeat(32) };
        let text = request.text();
        assert_eq!(ErasureRequest::parse(&text), Some(request));
        for end in 0..text.len() {
            assert_eq!(ErasureRequest::parse(&text[..end]), None, "{end}");
        }
        assert_eq!(ErasureRequest::parse(&text.replace('a', "A")), None);
    }
}
