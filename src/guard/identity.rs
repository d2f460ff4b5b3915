//! The box's key: made when the guard first starts without one, stored in data-dir, destroyed by unbinding. Only its
//! public half is returned; the private half is read for each signature, and does not stay in memory.

use std::fs::File;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey, KeypairBytes};
use ed25519_dalek::{SigningKey, VerifyingKey};
use notes::{Note, SignerKey, VerifierKey};
use sha2::{Digest, Sha256};
use tlog::{Checkpoint, SignedCheckpoint};
use zeroize::Zeroizing;

use crate::atomic_file::{self, Durability, PRIVATE};
use crate::config::Config;
use crate::ipc::BoxIdentity;
use crate::ledger::CheckpointSigner;
use crate::random;

/// Keys and credentials, in data-dir; the guard's alone.
pub(super) const CREDENTIALS: &str = "credentials";
/// The key in [`CREDENTIALS`], in PEM form as openssl reads it, followed by its public key: if the two do not match,
/// the file is damaged.
pub(super) const FILE: &str = "identity";
/// The first line of the public key.
const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----";
/// Longest file that could be a key, in bytes; a real one has 232.
const LONGEST: u64 = 4096;

/// Why there is no identity, with advice.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IdentityError {
    /// The file cannot be read or written.
    #[error(
        "the box's key {path} cannot be read or written: {error}; look at the disk's free space and at who owns data-dir"
    )]
    Store {
        /// The file.
        path: PathBuf,
        /// The system's error.
        error: io::Error,
    },
    /// There is a file, and it is not a key.
    #[error(
        "the box's key {path} is damaged: {wrong}; put it back from a backup, or delete it and restart the guard: the box then gets a new identity and has to be claimed anew"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The damage.
        wrong: String,
    },
}

fn path(data_dir: &Path) -> PathBuf {
    data_dir.join(CREDENTIALS).join(FILE)
}

/// The identity of the box, if it has one. `id`: its configured name, which the name of its key has in it.
pub(crate) fn read(data_dir: &Path, id: Option<&str>) -> Result<Option<BoxIdentity>, IdentityError> {
    let Some(key) = read_key(data_dir)? else { return Ok(None) };
    let damaged = |wrong: String| IdentityError::Damaged { path: path(data_dir), wrong };
    public(&key.verifying_key(), id).map(Some).map_err(damaged)
}

/// Signs the text of a note with the box's key.
///
/// # Errors
/// There is no key, or it cannot be used.
pub(super) fn sign(data_dir: &Path, id: Option<&str>, text: &str) -> Result<String, IdentityError> {
    let signed = Note::sign(text, &[&signer(data_dir, id)?]).map(|note| note.to_string());
    signed.map_err(|error| IdentityError::Damaged { path: path(data_dir), wrong: error.to_string() })
}

/// Signs checkpoints of the ledger with the key that the box has at that moment, whose name is the log's.
pub(super) fn checkpoint_signer(config: &Config) -> CheckpointSigner {
    let (data_dir, id) = (config.device.data_dir.clone(), config.device.id.clone());
    CheckpointSigner::new(move |tree| {
        let signer = signer(&data_dir, id.as_deref()).map_err(|error| error.to_string())?;
        let checkpoint = Checkpoint::new(signer.verifier_key().name(), tree);
        SignedCheckpoint::sign(checkpoint, &signer).map(|note| note.to_string()).map_err(|error| error.to_string())
    })
}

fn signer(data_dir: &Path, id: Option<&str>) -> Result<SignerKey, IdentityError> {
    let damaged = |wrong: String| IdentityError::Damaged { path: path(data_dir), wrong };
    let Some(key) = read_key(data_dir)? else { return Err(damaged("there is none".to_owned())) };
    let name = public(&key.verifying_key(), id).map_err(damaged)?.signer_name(id);
    let seed = Zeroizing::new(key.to_bytes());
    SignerKey::new(&name, &seed).map_err(|error| damaged(error.to_string()))
}

/// The private half. Its memory is overwritten when it is dropped.
fn read_key(data_dir: &Path) -> Result<Option<SigningKey>, IdentityError> {
    let path = path(data_dir);
    let store = |error| IdentityError::Store { path: path.clone(), error };
    let damaged = |wrong: String| IdentityError::Damaged { path: path.clone(), wrong };
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(store(error)),
    };
    let data = file.metadata().map_err(store)?;
    if !data.is_file() || data.len() > LONGEST {
        return Err(damaged("it is not a key's file".to_owned()));
    }
    if data.permissions().mode() & 0o077 != 0 {
        let mode = data.permissions().mode() & 0o777;
        return Err(damaged(format!("others may have read it, with mode {mode:o}")));
    }
    let text = Zeroizing::new(std::fs::read_to_string(&path).map_err(store)?);
    let Some((secret, open)) = text.find(PUBLIC).map(|at| text.split_at(at)) else {
        return Err(damaged("its end is missing".to_owned()));
    };
    let key = SigningKey::from_pkcs8_pem(secret).map_err(|error| damaged(error.to_string()))?;
    let told = VerifyingKey::from_public_key_pem(open).map_err(|error| damaged(error.to_string()))?;
    if key.verifying_key() != told {
        return Err(damaged("its two halves do not belong together".to_owned()));
    }
    Ok(Some(key))
}

fn public(key: &VerifyingKey, id: Option<&str>) -> Result<BoxIdentity, String> {
    let der = key.to_public_key_der().map_err(|error| error.to_string())?;
    let mut identity = BoxIdentity::new(&Sha256::digest(der.as_bytes()).into(), String::new());
    let verifier = VerifierKey::new(&identity.signer_name(id), key.as_bytes()).map_err(|error| error.to_string())?;
    identity.verifier_key = verifier.to_string();
    Ok(identity)
}

/// The identity of the box, made if there is none. A damaged one is never replaced: claims made with it would be lost
/// silently.
pub(super) fn read_or_make(data_dir: &Path, id: Option<&str>) -> Result<BoxIdentity, IdentityError> {
    match read(data_dir, id)? {
        Some(identity) => Ok(identity),
        None => make(data_dir, id).map_err(|error| IdentityError::Store { path: path(data_dir), error }),
    }
}

/// Written in one step: a power cut leaves a whole key, or none.
fn make(data_dir: &Path, id: Option<&str>) -> io::Result<BoxIdentity> {
    let dir = data_dir.join(CREDENTIALS);
    match std::fs::DirBuilder::new().mode(0o700).create(&dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut seed = [0; 32];
    random::fill(&mut seed)?;
    let key = SigningKey::from_bytes(&seed).verifying_key();
    // Version 1 of the format, without the public key in it: openssl reads no other.
    let secret = KeypairBytes { secret_key: std::mem::take(&mut seed), public_key: None };
    let pem = secret.to_pkcs8_pem(LineEnding::LF).map_err(io::Error::other)?;
    let open = key.to_public_key_pem(LineEnding::LF).map_err(io::Error::other)?;
    let content = [pem.as_bytes(), open.as_bytes()].concat();
    atomic_file::replace(&dir.join(FILE), &content, PRIVATE, Durability::Synced)?;
    // The folder may be new too.
    atomic_file::sync_parent(&dir)?;
    public(&key, id).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_made_once_and_only_its_owner_may_read_it() {
        let dir = tempfile::tempdir().unwrap();
        assert!(read(dir.path(), None).unwrap().is_none());
        let made = read_or_make(dir.path(), None).unwrap();
        assert_eq!(read_or_make(dir.path(), None).unwrap(), made);
        assert_eq!(read(dir.path(), None).unwrap(), Some(made.clone()));
        let bits = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(bits(&path(dir.path())), 0o600);
        assert_eq!(bits(&dir.path().join(CREDENTIALS)), 0o700);
        let left: Vec<_> = std::fs::read_dir(dir.path().join(CREDENTIALS)).unwrap().collect();
        assert_eq!(left.len(), 1, "{left:?}");
        let other = tempfile::tempdir().unwrap();
        assert_ne!(read_or_make(other.path(), None).unwrap(), made, "two boxes are never the same");
    }

    #[test]
    fn a_power_cut_before_it_was_in_its_place_leaves_no_trace() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join(CREDENTIALS)).unwrap();
        std::fs::write(dir.path().join(CREDENTIALS).join("identity.new"), "-----BEGIN PRIV").unwrap();
        let made = read_or_make(dir.path(), None).unwrap();
        assert_eq!(read(dir.path(), None).unwrap(), Some(made));
    }

    #[test]
    fn a_damaged_key_is_told_and_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        read_or_make(dir.path(), None).unwrap();
        let path = path(dir.path());
        let whole = std::fs::read(&path).unwrap();
        for cut in 0..whole.len() - 1 {
            std::fs::write(&path, &whole[..cut]).unwrap();
            assert!(matches!(read_or_make(dir.path(), None), Err(IdentityError::Damaged { .. })), "{cut} bytes");
            assert_eq!(std::fs::read(&path).unwrap(), &whole[..cut]);
        }
        // Any one bit of it.
        for place in 0..whole.len() - 1 {
            let mut wrong = whole.clone();
            wrong[place] ^= 1;
            std::fs::write(&path, &wrong).unwrap();
            assert!(read_or_make(dir.path(), None).is_err(), "byte {place}");
        }
        std::fs::write(&path, &whole).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let told = read(dir.path(), None).unwrap_err().to_string();
        assert!(told.contains("mode 644") && told.contains("delete it and restart the guard"), "{told}");
    }

    #[test]
    fn what_it_signs_is_checked_with_its_verifier_key() {
        let dir = tempfile::tempdir().unwrap();
        let identity = read_or_make(dir.path(), Some("shop-1")).unwrap();
        let key: VerifierKey = identity.verifier_key.parse().unwrap();
        assert_eq!(key.name(), format!("tallybox/shop-1/{:.16}", identity.fingerprint));
        let signed = sign(dir.path(), Some("shop-1"), "tallybox/receipt/v1\n{}\n").unwrap();
        assert_eq!(Note::parse(signed.as_bytes()).unwrap().is_signed_by(&key), Some(true));
        std::fs::remove_file(path(dir.path())).unwrap();
        assert!(sign(dir.path(), None, "tallybox/receipt/v1\n{}\n").is_err(), "no key, no signature");
    }
}
