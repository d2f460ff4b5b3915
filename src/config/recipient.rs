//! The operator's key that footage is encrypted to: a native X25519 recipient of age, `age1…` (Bech32, BIP 173).

use std::fmt;
use std::str::FromStr;

/// Bech32's letters, in the order of their values.
const LETTERS: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
/// What stands before the last `1`.
const PREFIX: &str = "age";
/// Letters of the checksum.
const CHECKSUM: usize = 6;

/// Whom footage is encrypted to: an X25519 public key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AgeRecipient([u8; 32]);

/// Why a text is no recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotARecipient {
    /// It is the secret half.
    #[error("it is a secret key, which must never be on a box: whoever has the box could read the footage")]
    Secret,
    /// It is one of a plugin, of SSH or of another kind.
    #[error("it is no X25519 recipient of age, which begins with age1 and has 62 letters")]
    Kind,
    /// Its checksum is wrong.
    #[error("it has a typing error: its checksum is wrong")]
    Checksum,
}

impl AgeRecipient {
    /// The public key.
    pub const fn key(&self) -> &[u8; 32] {
        &self.0
    }
}

/// The polynomial of BIP 173 over these values.
fn checksum(values: impl Iterator<Item = u8>) -> u32 {
    const GENERATOR: [u32; 5] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];
    values.fold(1, |state, value| {
        let top = state >> 25;
        let shifted = (state & 0x01ff_ffff) << 5 ^ u32::from(value);
        (0..5).filter(|bit| top >> bit & 1 == 1).fold(shifted, |state, bit| state ^ GENERATOR[bit])
    })
}

/// The prefix as the checksum counts it.
fn expanded_prefix() -> impl Iterator<Item = u8> {
    PREFIX.bytes().map(|letter| letter >> 5).chain([0]).chain(PREFIX.bytes().map(|letter| letter & 31))
}

impl FromStr for AgeRecipient {
    type Err = NotARecipient;

    fn from_str(text: &str) -> Result<Self, NotARecipient> {
        if text.to_ascii_uppercase().starts_with("AGE-SECRET-KEY") {
            return Err(NotARecipient::Secret);
        }
        // Bech32 is in one case; age writes lower case.
        let data = text.strip_prefix("age1").ok_or(NotARecipient::Kind)?;
        let value = |letter: u8| LETTERS.iter().position(|known| *known == letter).and_then(|at| u8::try_from(at).ok());
        // 32 bytes are 51.2 letters of 5 bits.
        if data.len() != 52 + CHECKSUM {
            return Err(NotARecipient::Kind);
        }
        let values: Vec<u8> = data.bytes().map(value).collect::<Option<_>>().ok_or(NotARecipient::Kind)?;
        if checksum(expanded_prefix().chain(values.iter().copied())) != 1 {
            return Err(NotARecipient::Checksum);
        }
        let (mut key, mut bits, mut held, mut at) = ([0; 32], 0_u32, 0_u32, 0);
        for value in &values[..52] {
            (bits, held) = (bits << 5 | u32::from(*value), held + 5);
            if held >= 8 {
                held -= 8;
                key[at] = u8::try_from(bits >> held & 0xff).unwrap_or_default();
                at += 1;
                bits &= (1 << held) - 1;
            }
        }
        // What is left over is padding.
        if bits == 0 { Ok(Self(key)) } else { Err(NotARecipient::Kind) }
    }
}

/// As age writes it.
impl fmt::Display for AgeRecipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut values, mut bits, mut held) = (Vec::new(), 0_u32, 0_u32);
        for byte in self.0 {
            (bits, held) = (bits << 8 | u32::from(byte), held + 8);
            while held >= 5 {
                held -= 5;
                values.push(u8::try_from(bits >> held & 31).unwrap_or_default());
                bits &= (1 << held) - 1;
            }
        }
        values.push(u8::try_from(bits << (5 - held) & 31).unwrap_or_default());
        let sum = checksum(expanded_prefix().chain(values.iter().copied()).chain([0; CHECKSUM])) ^ 1;
        let sum = (0..CHECKSUM).map(|place| u8::try_from(sum >> (5 * (5 - place)) & 31).unwrap_or_default());
        f.write_str("age1")?;
        let mut all = values.into_iter().chain(sum);
        all.try_for_each(|value| fmt::Write::write_char(f, char::from(LETTERS[usize::from(value)])))
    }
}

impl fmt::Debug for AgeRecipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From age's own documentation.
    const KNOWN: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";

    #[test]
    fn a_recipient_is_read_as_it_is_written() {
        let recipient: AgeRecipient = KNOWN.parse().unwrap();
        assert_eq!(recipient.to_string(), KNOWN);
    }

    #[test]
    fn a_typing_error_never_passes() {
        for place in 4..KNOWN.len() {
            for letter in LETTERS {
                let mut wrong = KNOWN.as_bytes().to_vec();
                if wrong[place] == *letter {
                    continue;
                }
                wrong[place] = *letter;
                let wrong = String::from_utf8(wrong).unwrap();
                assert_eq!(wrong.parse::<AgeRecipient>(), Err(NotARecipient::Checksum), "{wrong}");
            }
        }
        for wrong in ["", "age1", &KNOWN[..61], &KNOWN.to_uppercase(), "ssh-ed25519 AAAA", "age1yubikey1q", "age1q€"]
        {
            assert_eq!(wrong.parse::<AgeRecipient>(), Err(NotARecipient::Kind), "{wrong}");
        }
        let secret = "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33";
        assert_eq!(secret.parse::<AgeRecipient>(), Err(NotARecipient::Secret));
    }
}
