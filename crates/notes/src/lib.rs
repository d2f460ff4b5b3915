//! Signed notes (c2sp.org/signed-note): text, an empty line, and signature lines. Ed25519 only.
//!
//! A [`Note`] is text with signatures. A [`document()`] is the text of one of ours: a line with its [`DocumentType`],
//! and a line of JSON. [`Trust`] says which keys may sign what, and is the one place that decides whether a note
//! counts. Pure: no I/O, no clock, no randomness.
//!
//! ```
//! use notes::{DocumentType, Note, Role, SignerKey, Trust, TrustedKey};
//!
//! let signer = SignerKey::new("operator.example/fleet-2026", &[7; 32])?;
//! let text = "tallybox/command/v1\n{\"verb\":\"unmute\"}\n";
//! let bytes = Note::sign(text, &[&signer])?.to_string();
//!
//! let keys = vec![TrustedKey { key: signer.verifier_key(), may: vec![Role::Unmute] }];
//! let trust = Trust { keys, ..Trust::default() };
//! let verified = trust.verify(bytes.as_bytes(), Role::Unmute)?;
//! assert_eq!(verified.json, "{\"verb\":\"unmute\"}");
//! assert!(trust.verify(bytes.as_bytes(), Role::Erase).is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod cosignature;
mod document;
mod key;
mod kind;
mod note;
mod role;
mod trust;

pub use document::{Document, document};
pub use key::{KeyError, MAX_NAME_BYTES, SignerKey, VerifierKey};
pub use kind::DocumentType;
pub use note::{MAX_BYTES, MAX_SIGNATURES, Note, NoteError};
pub use role::Role;
pub use trust::{Refusal, Trust, TrustedKey, Verified};
