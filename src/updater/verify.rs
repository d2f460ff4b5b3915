//! A release, verified with this box's own configuration.

use std::path::Path;

use notes::Role;
use rollout::Release;

use crate::config::Config;
use crate::untrusted_file;

/// A release that counts here.
#[derive(Debug)]
pub(crate) struct VerifiedRelease {
    pub(crate) release: Release,
    /// The keys that signed it.
    pub(crate) keys: Vec<String>,
}

/// Reads and verifies the note at `path`. `Err`: why it does not count.
pub(crate) fn read(config: &Config, path: &Path) -> Result<VerifiedRelease, String> {
    let bytes = untrusted_file::read(path, notes::MAX_BYTES as u64).map_err(|error| error.to_string())?;
    verify(config, &bytes)
}

fn verify(config: &Config, note: &[u8]) -> Result<VerifiedRelease, String> {
    let verified = config.trust.verify(note, Role::Release);
    let verified = verified.map_err(|refusal| refusal.to_string())?;
    let release = Release::parse(&verified.json).map_err(|error| error.to_string())?;
    Ok(VerifiedRelease { release, keys: verified.signers })
}
