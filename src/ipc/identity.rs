//! The public identity of the box: the fingerprint of its key, and a short form to be read out.

use serde::{Deserialize, Serialize};

use crate::text::Text;

/// The box's public key as people and programs compare it. Neither field is a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct BoxIdentity {
    /// SHA-256 of the key in its usual form (`SubjectPublicKeyInfo`, DER), in hex.
    pub fingerprint: String,
    /// The fingerprint's first 75 bits: what an integrator reads out to claim the box.
    pub claim_code: String,
    /// The key itself, in the form in which C2SP's notes name it: what checks the box's receipts.
    pub verifier_key: String,
}

impl BoxIdentity {
    /// The box's name in topics unless one is configured. It changes with the key when the box is unbound.
    pub fn device_id(&self) -> String {
        format!("box-{:.12}", self.fingerprint)
    }

    /// The name under which the key signs, for a box that is configured as `id`.
    pub fn signer_name(&self, id: Option<&str>) -> String {
        let id = id.map_or_else(|| self.device_id(), str::to_owned);
        format!("tallybox/{id}/{:.16}", self.fingerprint)
    }
}

/// How the box's key lies on its disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyAtRest {
    /// Sealed by the machine's TPM.
    Tpm,
    /// In a plain file.
    Plain,
    /// Sealed by a TPM that does not open it: the box signs nothing.
    TpmFails,
}

impl KeyAtRest {
    /// What that means, for a person.
    pub const fn sentence(self) -> Text {
        match self {
            Self::Tpm => Text::new(
                "the box's key is encrypted by this machine's TPM: who takes the card alone does not have it",
                "设备密钥由本机的 TPM 加密：仅取走存储卡无法获得密钥",
            ),
            Self::Plain => Text::new(
                "the box's key is not encrypted, as no TPM seals it: it lies in a file that only the guard and root may \
                 read, and who takes the card has it",
                "设备密钥未加密（没有 TPM 为其加密）：密钥存于仅守护进程和 root 可读的文件中，取走存储卡者即可获得密钥",
            ),
            Self::TpmFails => Text::new(
                "this machine's TPM does not open the box's key: the box signs no receipts and no checkpoints",
                "本机的 TPM 无法解开设备密钥：设备无法签署凭证和检查点",
            ),
        }
    }

    /// What to do about it; empty: nothing.
    pub const fn advice(self) -> &'static str {
        match self {
            Self::Tpm | Self::Plain => "",
            Self::TpmFails => {
                "put the card back into the machine whose TPM sealed the key; if that TPM was cleared or replaced, the \
                 key is lost: delete credentials/identity.sealed in data-dir and restart the guard: the box then gets \
                 a new identity and has to be claimed anew"
            }
        }
    }
}

/// Crockford's base 32: without I, L, O and U, which are read as something else.
const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Digits that come from the fingerprint, 5 bits each; 75 bits are too many to find another key for.
const DATA: usize = 15;

impl BoxIdentity {
    /// From the SHA-256 of the key, and the key in the form of C2SP's notes.
    pub fn new(digest: &[u8; 32], verifier_key: String) -> Self {
        let bit = |index: usize| usize::from(digest[index / 8] >> (7 - index % 8) & 1);
        let mut values: Vec<usize> =
            (0..DATA).map(|digit| (0..5).fold(0, |value, place| value << 1 | bit(digit * 5 + place))).collect();
        values.push(check(&values));
        let digits: Vec<char> = values.into_iter().map(|value| char::from(DIGITS[value])).collect();
        let groups: Vec<String> = digits.chunks(4).map(|group| group.iter().collect()).collect();
        Self { fingerprint: crate::hex(digest), claim_code: groups.join("-"), verifier_key }
    }
}

/// The last digit, by Luhn's rule for 32 digits: one digit that was read wrongly always shows, and so do two
/// neighbours that changed places, but for `0Z`.
fn check(values: &[usize]) -> usize {
    let sum: usize = values
        .iter()
        .rev()
        .enumerate()
        .map(|(place, value)| {
            let weighted = value * if place % 2 == 0 { 2 } else { 1 };
            weighted / 32 + weighted % 32
        })
        .sum();
    (32 - sum % 32) % 32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good(code: &str) -> bool {
        let value = |digit: u8| DIGITS.iter().position(|known| *known == digit).unwrap();
        let values: Vec<usize> = code.bytes().filter(|digit| *digit != b'-').map(value).collect();
        let (last, data) = values.split_last().unwrap();
        check(data) == *last
    }

    #[test]
    fn the_code_is_the_beginning_of_the_fingerprint() {
        let mut digest = [0; 32];
        assert_eq!(BoxIdentity::new(&digest, String::new()).claim_code, "0000-0000-0000-0000");
        // 5 bits a digit: 00001 00010 00011 00100 ...
        digest[..5].copy_from_slice(&[0b0000_1000, 0b1000_0110, 0b0100_0010, 0b1001_1000, 0b1110_1000]);
        let identity = BoxIdentity::new(&digest, String::new());
        assert!(identity.claim_code.starts_with("1234-5678-"), "{}", identity.claim_code);
        assert!(good(&identity.claim_code) && identity.fingerprint.starts_with("0886"));
    }

    #[test]
    fn a_digit_that_was_read_wrongly_shows() {
        let code =
            BoxIdentity::new(&std::array::from_fn(|index| u8::try_from(index * 37 % 251).unwrap()), String::new())
                .claim_code;
        assert!(good(&code));
        for place in (0..code.len()).filter(|place| place % 5 != 4) {
            for digit in DIGITS.iter().filter(|digit| code.as_bytes()[place] != **digit) {
                let mut wrong = code.clone().into_bytes();
                wrong[place] = *digit;
                assert!(!good(&String::from_utf8(wrong).unwrap()));
            }
        }
    }
}
