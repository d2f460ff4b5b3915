//! How the guard has the machine's TPM seal the box's key, and open it again. The guard connects to a socket behind
//! which systemd starts a helper that runs as root, writes an order, and reads the answer. The helper touches no file.

use zeroize::Zeroizing;

/// Longest order or answer, in bytes. A sealed key has about 1,300.
pub(crate) const MAX_BYTES: u64 = 16 * 1024;

/// What the helper is to do with the bytes behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Seal them, so that only this machine's TPM opens them.
    Seal,
    /// Open what was sealed.
    Open,
}

/// What became of an order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The bytes, sealed or open.
    Done(Zeroizing<Vec<u8>>),
    /// This machine has no TPM.
    NoTpm,
    /// The TPM, or the tool that uses it, refuses, for this reason.
    Failed(String),
}

impl Order {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Seal => "seal",
            Self::Open => "open",
        }
    }

    /// The order as it is sent.
    pub(crate) fn bytes(self, content: &[u8]) -> Zeroizing<Vec<u8>> {
        message(self.as_str(), content)
    }

    /// The order with these bytes, and what it is about; `None`: it is none.
    pub(crate) fn parse(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (word, content) = split(bytes)?;
        [Self::Seal, Self::Open]
            .into_iter()
            .find(|order| order.as_str().as_bytes() == word)
            .map(|order| (order, content))
    }
}

impl Answer {
    /// The answer as it is sent.
    pub(crate) fn bytes(&self) -> Zeroizing<Vec<u8>> {
        match self {
            Self::Done(content) => message("done", content),
            Self::NoTpm => message("no-tpm", b""),
            Self::Failed(why) => message("failed", why.as_bytes()),
        }
    }

    /// The answer with these bytes; `None`: it is none.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let (word, content) = split(bytes)?;
        match word {
            b"done" => Some(Self::Done(Zeroizing::new(content.to_vec()))),
            b"no-tpm" => Some(Self::NoTpm),
            b"failed" => Some(Self::Failed(String::from_utf8_lossy(content).into_owned())),
            _ => None,
        }
    }
}

/// A word on a line of its own, and what belongs to it. Its room is reserved: a buffer that grows leaves copies.
fn message(word: &str, content: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(word.len() + 1 + content.len()));
    bytes.extend_from_slice(word.as_bytes());
    bytes.push(b'\n');
    bytes.extend_from_slice(content);
    bytes
}

fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    Some((&bytes[..end], &bytes[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        for order in [Order::Seal, Order::Open] {
            let bytes = order.bytes(b"a\nb");
            assert_eq!(Order::parse(&bytes), Some((order, &b"a\nb"[..])));
        }
        for answer in [Answer::Done(Zeroizing::new(b"x\n\0".to_vec())), Answer::NoTpm, Answer::Failed("why".to_owned())]
        {
            assert_eq!(Answer::parse(&answer.bytes()), Some(answer));
        }
        for wrong in [&b""[..], b"seal", b"sealed\nx", b"\n", b"done"] {
            assert_eq!((Order::parse(wrong), Answer::parse(wrong)), (None, None), "{wrong:?}");
        }
    }
}
