//! Hashes of leaves and nodes (RFC 6962, section 2.1).

use std::fmt;
use std::str::FromStr;

use base64ct::{Base64, Encoding};
use sha2::{Digest, Sha256};

/// Bytes of a hash.
const BYTES: usize = 32;

/// SHA-256 of a leaf, a node or an empty tree. Its text is base 64 (RFC 4648, section 4), as C2SP writes it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hash(pub [u8; BYTES]);

/// The hash of an entry. Its prefix keeps an entry from passing for a node.
pub fn leaf_hash(entry: &[u8]) -> Hash {
    Hash(Sha256::new().chain_update([0]).chain_update(entry).finalize().into())
}

/// The hash of a node with these children.
pub fn node_hash(left: Hash, right: Hash) -> Hash {
    Hash(Sha256::new().chain_update([1]).chain_update(left.0).chain_update(right.0).finalize().into())
}

impl Hash {
    /// The root of a tree without leaves.
    pub fn empty() -> Self {
        Self(Sha256::digest([]).into())
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&Base64::encode_string(&self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({self})")
    }
}

impl FromStr for Hash {
    type Err = ();

    /// Strict: no other spelling of the same bytes is read.
    fn from_str(text: &str) -> Result<Self, ()> {
        let mut bytes = [0; BYTES];
        let read = Base64::decode(text, &mut bytes).map_err(drop)?.len();
        if read == BYTES { Ok(Self(bytes)) } else { Err(()) }
    }
}
