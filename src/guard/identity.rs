//! The box's key: made when the guard first starts without one, stored in data-dir, destroyed by unbinding. Where the
//! machine has a TPM the key is sealed by it, and comes to no disk otherwise; elsewhere it lies in a plain file, and is
//! read for each signature. Only its public half is returned.

mod sealer;
mod task;

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey, KeypairBytes};
use ed25519_dalek::{SigningKey, VerifyingKey};
use notes::{Note, SignerKey, VerifierKey};
use sha2::{Digest, Sha256};
use tlog::{Checkpoint, SignedCheckpoint};
use zeroize::Zeroizing;

use crate::atomic_file::{self, Durability, PRIVATE};
use crate::config::Config;
use crate::disk::{self, Dir, File};
use crate::ipc::{BoxIdentity, KeyAtRest};
use crate::ledger::CheckpointSigner;
use crate::overwrite;
use crate::random;

pub(super) use sealer::KeySealer;
use sealer::SealError;
pub(super) use task::{KeyChange, SealingTask};

/// Keys and credentials, in data-dir; the guard's alone.
pub(super) const CREDENTIALS: &str = "credentials";
/// The key in [`CREDENTIALS`], in PEM form as openssl reads it, followed by its public key: if the two do not match,
/// the file is damaged.
pub(super) const FILE: &str = "identity";
/// The same, sealed by the machine's TPM, followed by the public key and a digest of all that. If both files are
/// there, a power cut came between the writing of the one and the deletion of the other.
pub(super) const SEALED_FILE: &str = "identity.sealed";
/// The first line of the public key.
const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----";
/// Longest file that could be a key, in bytes; a real one has 232, and about 1,500 sealed.
const LONGEST: u32 = 4096;

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
    /// The TPM does not open it.
    #[error(
        "the box's key {path} is not opened by this machine's TPM: {why}; {}",
        KeyAtRest::TpmFails.advice()
    )]
    Sealed {
        /// The file.
        path: PathBuf,
        /// The TPM's or the helper's reason.
        why: String,
    },
}

/// The key as it lies on the disk.
enum StoredKey {
    Plain(SigningKey),
    Sealed { public: VerifyingKey, blob: String },
}

impl StoredKey {
    fn public(&self) -> VerifyingKey {
        match self {
            Self::Plain(key) => key.verifying_key(),
            Self::Sealed { public, .. } => *public,
        }
    }
}

/// Whether a signature waits for the TPM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    /// Some seconds: there is no second chance for it.
    Short,
    /// No: it is asked for again when the key is open.
    No,
}

fn path(data_dir: &Path) -> PathBuf {
    data_dir.join(CREDENTIALS).join(FILE)
}

fn sealed_path(data_dir: &Path) -> PathBuf {
    data_dir.join(CREDENTIALS).join(SEALED_FILE)
}

/// The identity of the box, if it has one. `id`: its configured name, which the name of its key has in it.
pub(crate) fn read(data_dir: &Path, id: Option<&str>) -> Result<Option<BoxIdentity>, IdentityError> {
    let Some(key) = stored(data_dir)? else { return Ok(None) };
    let damaged = |wrong: String| IdentityError::Damaged { path: path(data_dir), wrong };
    public(&key.public(), id).map(Some).map_err(damaged)
}

/// How the key lies on the disk; `None`: there is none, or it cannot be read.
pub(crate) fn at_rest(data_dir: &Path) -> Option<KeyAtRest> {
    match stored(data_dir).ok().flatten()? {
        StoredKey::Plain(_) => Some(KeyAtRest::Plain),
        StoredKey::Sealed { .. } => Some(KeyAtRest::Tpm),
    }
}

/// Signs the text of a note with the box's key. Waits some seconds for a TPM that has not opened it yet.
///
/// # Errors
/// There is no key, or it cannot be used.
pub(super) fn sign(data_dir: &Path, id: Option<&str>, text: &str, sealer: &KeySealer) -> Result<String, IdentityError> {
    let signed = Note::sign(text, &[&signer(data_dir, id, sealer, Wait::Short)?]).map(|note| note.to_string());
    signed.map_err(|error| IdentityError::Damaged { path: path(data_dir), wrong: error.to_string() })
}

/// Signs checkpoints of the ledger with the key that the box has at that moment, whose name is the log's.
pub(super) fn checkpoint_signer(config: &Config, sealer: &KeySealer) -> CheckpointSigner {
    let (data_dir, id, sealer) = (config.device.data_dir.clone(), config.device.id.clone(), sealer.clone());
    CheckpointSigner::new(move |tree| {
        let signer = signer(&data_dir, id.as_deref(), &sealer, Wait::No).map_err(|error| error.to_string())?;
        let checkpoint = Checkpoint::new(signer.verifier_key().name(), tree);
        SignedCheckpoint::sign(checkpoint, &signer).map(|note| note.to_string()).map_err(|error| error.to_string())
    })
}

fn signer(data_dir: &Path, id: Option<&str>, sealer: &KeySealer, wait: Wait) -> Result<SignerKey, IdentityError> {
    let damaged = |wrong: String| IdentityError::Damaged { path: path(data_dir), wrong };
    let key = match stored(data_dir)? {
        None => return Err(damaged("there is none".to_owned())),
        Some(StoredKey::Plain(key)) => key,
        Some(StoredKey::Sealed { public, blob }) => match (sealer.opened(&public), wait) {
            (Some(key), _) => key,
            (None, Wait::Short) => {
                let key = open(data_dir, &public, &blob, sealer, sealer::SHORT)?;
                sealer.keep(key.clone());
                key
            }
            (None, Wait::No) => {
                return Err(IdentityError::Sealed { path: sealed_path(data_dir), why: "it has not yet".to_owned() });
            }
        },
    };
    let name = public(&key.verifying_key(), id).map_err(damaged)?.signer_name(id);
    let seed = Zeroizing::new(key.to_bytes());
    SignerKey::new(&name, &seed).map_err(|error| damaged(error.to_string()))
}

/// Has the TPM open the key.
fn open(
    data_dir: &Path,
    public: &VerifyingKey,
    blob: &str,
    sealer: &KeySealer,
    patience: Duration,
) -> Result<SigningKey, IdentityError> {
    let path = sealed_path(data_dir);
    let content = sealer.open(blob, patience);
    let content = content.map_err(|error| IdentityError::Sealed { path: path.clone(), why: error.to_string() })?;
    let damaged = |wrong: String| IdentityError::Damaged { path: path.clone(), wrong };
    let text = std::str::from_utf8(&content).map_err(|_| damaged("what is sealed is no key".to_owned()))?;
    let key = parse(text).map_err(damaged)?;
    if key.verifying_key() != *public {
        return Err(damaged("its two halves do not belong together".to_owned()));
    }
    Ok(key)
}

/// The key, plain or sealed. Where both files are there the plain one counts, unless it is what a power cut left of it.
fn stored(data_dir: &Path) -> Result<Option<StoredKey>, IdentityError> {
    match (read_plain(data_dir), read_sealed(data_dir)) {
        (Ok(Some(plain)), Ok(Some((public, _)))) if plain.verifying_key() != public => {
            let wrong = format!("{SEALED_FILE} beside it is another key; delete the one that is not this box's");
            Err(IdentityError::Damaged { path: path(data_dir), wrong })
        }
        (Ok(Some(plain)), _) => Ok(Some(StoredKey::Plain(plain))),
        (_, Ok(Some((public, blob)))) => Ok(Some(StoredKey::Sealed { public, blob })),
        (Err(error), _) | (Ok(None), Err(error)) => Err(error),
        (Ok(None), Ok(None)) => Ok(None),
    }
}

/// The private half. Its memory is overwritten when it is dropped.
fn read_plain(data_dir: &Path) -> Result<Option<SigningKey>, IdentityError> {
    let path = path(data_dir);
    let Some(text) = read_file(&path)? else { return Ok(None) };
    parse(&text).map(Some).map_err(|wrong| IdentityError::Damaged { path, wrong })
}

/// The public half, and what the TPM sealed.
fn read_sealed(data_dir: &Path) -> Result<Option<(VerifyingKey, String)>, IdentityError> {
    let path = sealed_path(data_dir);
    let Some(text) = read_file(&path)? else { return Ok(None) };
    let damaged = |wrong: String| IdentityError::Damaged { path, wrong };
    let whole = text.strip_suffix('\n').and_then(|text| text.rsplit_once('\n')).filter(|(_, sum)| sum.len() == 64);
    let Some((content, sum)) = whole else { return Err(damaged("its end is missing".to_owned())) };
    if digest(content) != sum {
        return Err(damaged("it is not as it was written".to_owned()));
    }
    let Some((sealed, open)) = content.find(PUBLIC).map(|at| content.split_at(at)) else {
        return Err(damaged("its public half is missing".to_owned()));
    };
    match VerifyingKey::from_public_key_pem(open) {
        Ok(public) => Ok(Some((public, sealed.to_owned()))),
        Err(error) => Err(damaged(error.to_string())),
    }
}

fn read_file(path: &Path) -> Result<Option<Zeroizing<String>>, IdentityError> {
    let store = |error| IdentityError::Store { path: path.to_owned(), error };
    let damaged = |wrong: String| IdentityError::Damaged { path: path.to_owned(), wrong };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(store(error)),
    };
    let data = file.metadata().map_err(store)?;
    if !data.is_file() || data.len > u64::from(LONGEST) {
        return Err(damaged("it is not a key's file".to_owned()));
    }
    if data.mode & 0o077 != 0 {
        let mode = data.mode & 0o777;
        return Err(damaged(format!("others may have read it, with mode {mode:o}")));
    }
    // Never moved while it grows: that would leave a copy of the key in memory.
    let mut text = Zeroizing::new(String::with_capacity(2 * LONGEST as usize));
    file.take(LONGEST.into()).read_to_string(&mut text).map_err(store)?;
    Ok(Some(text))
}

/// The error says what is wrong.
pub(super) fn parse(text: &str) -> Result<SigningKey, String> {
    let (secret, open) = text.find(PUBLIC).map(|at| text.split_at(at)).ok_or("its end is missing")?;
    let key = SigningKey::from_pkcs8_pem(secret).map_err(|error| error.to_string())?;
    let told = VerifyingKey::from_public_key_pem(open).map_err(|error| error.to_string())?;
    if key.verifying_key() == told { Ok(key) } else { Err("its two halves do not belong together".to_owned()) }
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
pub(super) fn read_or_make(
    data_dir: &Path,
    id: Option<&str>,
    sealer: &KeySealer,
) -> Result<BoxIdentity, IdentityError> {
    match read(data_dir, id)? {
        Some(identity) => Ok(identity),
        None => make(data_dir, id, sealer).map_err(|error| IdentityError::Store { path: path(data_dir), error }),
    }
}

/// Written in one step: a power cut leaves a whole key, or none. Where there is a TPM the plain key comes to no disk.
fn make(data_dir: &Path, id: Option<&str>, sealer: &KeySealer) -> io::Result<BoxIdentity> {
    let dir = data_dir.join(CREDENTIALS);
    match disk::create_dir(&dir, 0o700) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut seed = Zeroizing::new([0; 32]);
    random::fill(&mut *seed)?;
    let key = SigningKey::from_bytes(&seed);
    let content = plain_content(&key)?;
    match sealer.seal(content.as_bytes(), sealer::SHORT) {
        Ok(blob) => {
            write_sealed(data_dir, &blob, &key.verifying_key())?;
            sealer.keep(key.clone());
        }
        Err(why) => {
            if why != SealError::NoTpm {
                tracing::warn!("the box's new key lies in a plain file for now: {why}");
            }
            atomic_file::replace(&dir.join(FILE), content.as_bytes(), PRIVATE, Durability::Synced)?;
        }
    }
    // The folder may be new too.
    atomic_file::sync_parent(&dir)?;
    public(&key.verifying_key(), id).map_err(io::Error::other)
}

/// What a plain file has in it, and what is sealed.
fn plain_content(key: &SigningKey) -> io::Result<Zeroizing<String>> {
    // Version 1 of the format, without the public key in it: openssl reads no other.
    let secret = KeypairBytes { secret_key: key.to_bytes(), public_key: None };
    let pem = secret.to_pkcs8_pem(LineEnding::LF).map_err(io::Error::other)?;
    let open = key.verifying_key().to_public_key_pem(LineEnding::LF).map_err(io::Error::other)?;
    Ok(Zeroizing::new([pem.as_str(), &open].concat()))
}

fn write_sealed(data_dir: &Path, sealed: &str, public: &VerifyingKey) -> io::Result<()> {
    let open = public.to_public_key_pem(LineEnding::LF).map_err(io::Error::other)?;
    let content = format!("{}\n{}", sealed.trim_end(), open.trim_end());
    let content = format!("{content}\n{}\n", digest(&content));
    atomic_file::replace(&sealed_path(data_dir), content.as_bytes(), PRIVATE, Durability::Synced)
}

/// Of a file's content. Without the TPM nothing else tells that the public half is as it was.
fn digest(content: &str) -> String {
    crate::hex(&Sha256::digest(content))
}

/// The TPM sealed the key with this public half, and opened it once: from now on it lies sealed on the disk. Nothing
/// happens if that is not the box's key any more. Returns whether it is sealed now.
fn replace_plain(data_dir: &Path, sealed: &str, public: &VerifyingKey) -> io::Result<bool> {
    match stored(data_dir) {
        Ok(Some(StoredKey::Plain(key))) if key.verifying_key() == *public => {}
        Ok(_) | Err(_) => return Ok(false),
    }
    write_sealed(data_dir, sealed, public)?;
    remove_plain(data_dir).map(|()| true)
}

/// Overwrites and deletes the plain file, or what a power cut left of it.
fn remove_plain(data_dir: &Path) -> io::Result<()> {
    let dir = Dir::open(&data_dir.join(CREDENTIALS))?;
    overwrite::delete(&dir, FILE)?;
    Ok(dir.sync()?)
}

#[cfg(test)]
mod tests;
