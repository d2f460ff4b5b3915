//! Keys and their text forms, as Go's `sumdb/note` has them too.

use std::fmt;
use std::str::FromStr;

use base64ct::{Base64, Encoding};
use ed25519_dalek::{SECRET_KEY_LENGTH, SIGNATURE_LENGTH, Signature, Signer, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// Longest name of a key that can be trusted or sign, in bytes. It stands in ledger entries and replies.
pub const MAX_NAME_BYTES: usize = 128;
/// C2SP's type for Ed25519, in key ids and in front of the key's own bytes.
const ED25519: u8 = 0x01;
/// The same key as a witness's (c2sp.org/tlog-cosignature).
const COSIGNATURE: u8 = 0x04;
/// How a signer key begins.
const PRIVATE: &str = "PRIVATE+KEY+";
/// Longest text that is looked at, in bytes: name, id, key.
const MAX_TEXT: usize = PRIVATE.len() + MAX_NAME_BYTES + 64;

/// Why a text is no key, with advice.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not three parts, or not the parts of this kind of key.
    #[error("this is no {expected}: write it as {form}")]
    Form {
        /// Which kind was expected.
        expected: &'static str,
        /// What it looks like.
        form: &'static str,
    },
    /// A private key where a public one belongs.
    #[error("this is a signer's private key: write its public half, which `tallybox note key show` prints")]
    Private,
    /// The name is none.
    #[error("the key's name has to have 1 to 128 bytes, without spaces, control characters and '+'")]
    Name,
    /// Another kind of signature.
    #[error("the key's type is not Ed25519 (1): make one with `tallybox note key generate`")]
    Type,
    /// The id does not belong to name and key: one of the three was changed.
    #[error("the key's id {written:08x} does not belong to its name and key, whose id is {right:08x}: copy it again")]
    Id {
        /// As the text has it.
        written: u32,
        /// As it follows from name and key.
        right: u32,
    },
    /// Not a point of the curve, or one whose signatures prove nothing.
    #[error("the key's 32 bytes are no usable Ed25519 key: copy it again")]
    Weak,
}

/// A public key with its name: `name+1a2b3c4d+AZ…`.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    id: u32,
    key: VerifyingKey,
}

impl VerifierKey {
    /// From the 32 bytes of an Ed25519 public key.
    pub fn new(name: &str, key: &[u8; 32]) -> Result<Self, KeyError> {
        if !is_name(name) || name.len() > MAX_NAME_BYTES {
            return Err(KeyError::Name);
        }
        let key = VerifyingKey::from_bytes(key).map_err(|_| KeyError::Weak)?;
        if key.is_weak() {
            return Err(KeyError::Weak);
        }
        Ok(Self { name: name.to_owned(), id: id(name, ED25519, &key), key })
    }

    /// The name, such as `operator.example/fleet-2026`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The id: what a signature line says besides the name to tell keys apart.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// The id of the same key as a witness's, in its cosignatures.
    pub fn cosigner_id(&self) -> u32 {
        id(&self.name, COSIGNATURE, &self.key)
    }

    /// The key's own 32 bytes, which are the same whatever its name is.
    pub fn bytes(&self) -> &[u8; 32] {
        self.key.as_bytes()
    }

    /// Whether `signature` is this key's over `text`. RFC 8032 with the checks that make signatures unique: no other
    /// bytes are one for the same text.
    pub(crate) fn verifies(&self, text: &str, signature: &[u8]) -> bool {
        let signature = <&[u8; SIGNATURE_LENGTH]>::try_from(signature).map(Signature::from_bytes);
        signature.is_ok_and(|signature| self.key.verify_strict(text.as_bytes(), &signature).is_ok())
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [&[ED25519], self.key.as_bytes().as_slice()].concat();
        write!(f, "{}+{:08x}+{}", self.name, self.id, Base64::encode_string(&bytes))
    }
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifierKey({self})")
    }
}

impl FromStr for VerifierKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        if text.starts_with(PRIVATE) {
            return Err(KeyError::Private);
        }
        let (name, written, bytes) = parts(text, "verifier key", "name+1a2b3c4d+AZ…")?;
        let key = Self::new(name, &bytes)?;
        if key.id == written { Ok(key) } else { Err(KeyError::Id { written, right: key.id }) }
    }
}

/// A private key with its name: `PRIVATE+KEY+name+1a2b3c4d+AZ…`. Its memory is overwritten when it is dropped.
pub struct SignerKey {
    name: String,
    id: u32,
    key: SigningKey,
}

impl SignerKey {
    /// From an Ed25519 seed: 32 random bytes.
    pub fn new(name: &str, seed: &[u8; SECRET_KEY_LENGTH]) -> Result<Self, KeyError> {
        let key = SigningKey::from_bytes(seed);
        let public = VerifierKey::new(name, key.verifying_key().as_bytes())?;
        Ok(Self { name: public.name, id: public.id, key })
    }

    /// The public half.
    pub fn verifier_key(&self) -> VerifierKey {
        VerifierKey { name: self.name.clone(), id: self.id, key: self.key.verifying_key() }
    }

    /// The text form, which is as secret as the key.
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new([ED25519; 1 + SECRET_KEY_LENGTH]);
        bytes[1..].copy_from_slice(self.key.as_bytes());
        let key = Zeroizing::new(Base64::encode_string(bytes.as_slice()));
        Zeroizing::new(format!("{PRIVATE}{}+{:08x}+{}", self.name, self.id, key.as_str()))
    }

    pub(crate) fn sign(&self, text: &str) -> [u8; SIGNATURE_LENGTH] {
        self.key.sign(text.as_bytes()).to_bytes()
    }
}

impl fmt::Debug for SignerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SignerKey({}+{:08x})", self.name, self.id)
    }
}

impl FromStr for SignerKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let (expected, form) = ("signer's private key", "PRIVATE+KEY+name+1a2b3c4d+AZ…");
        let rest = text.strip_prefix(PRIVATE).ok_or(KeyError::Form { expected, form })?;
        let (name, written, seed) = parts(rest, expected, form)?;
        let seed = Zeroizing::new(seed);
        let key = Self::new(name, &seed)?;
        if key.id == written { Ok(key) } else { Err(KeyError::Id { written, right: key.id }) }
    }
}

/// Name, id and the 32 bytes.
fn parts<'a>(text: &'a str, expected: &'static str, form: &'static str) -> Result<(&'a str, u32, [u8; 32]), KeyError> {
    let wrong = || KeyError::Form { expected, form };
    let mut parts = text.splitn(3, '+');
    let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else { return Err(wrong()) };
    let is_hex = id.len() == 8 && id.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    if text.len() > MAX_TEXT || !is_hex {
        return Err(wrong());
    }
    let id = u32::from_str_radix(id, 16).map_err(|_| wrong())?;
    let bytes = Zeroizing::new(Base64::decode_vec(key).map_err(|_| wrong())?);
    let (kind, key) = bytes.split_first().ok_or_else(wrong)?;
    if *kind != ED25519 {
        return Err(KeyError::Type);
    }
    Ok((name, id, key.try_into().map_err(|_| wrong())?))
}

/// Whether this can be a key's name at all.
pub(crate) fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.chars().any(|letter| letter == '+' || letter.is_whitespace() || letter.is_control())
}

/// The first four bytes of SHA-256 over name, newline, type and key.
fn id(name: &str, kind: u8, key: &VerifyingKey) -> u32 {
    let mut hash = Sha256::new();
    for part in [name.as_bytes(), b"\n", &[kind], key.as_bytes()] {
        hash.update(part);
    }
    let [a, b, c, d, ..]: [u8; 32] = hash.finalize().into();
    u32::from_be_bytes([a, b, c, d])
}
