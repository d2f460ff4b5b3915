//! The files through which guard, agent and updater hand an update on. Each reads what another one wrote as if a
//! stranger had written it.

use std::path::{Path, PathBuf};

use rollout::Sha256Hex;

/// The release in force, in `data-dir`: the guard's.
pub(crate) const NOTE: &str = "release.note";
/// The guard asks the updater, in `data-dir`: a systemd path unit waits for it, and the updater removes it.
pub(crate) const REQUEST: &str = "update-request";
/// What the agent's packages are called in its folder. They lie in the folder itself: the guard, which empties it when
/// the box is unbound, could not look into one below it.
pub(crate) const PACKAGE_PREFIX: &str = "update-";

/// Debian's name of the architecture that this program was built for.
pub(crate) const ARCHITECTURE: &str = if cfg!(target_arch = "x86_64") {
    "amd64"
} else if cfg!(target_arch = "aarch64") {
    "arm64"
} else {
    "armhf"
};

/// The content of [`REQUEST`].
pub(crate) fn request(attempt: &str) -> String {
    format!("{attempt}\n")
}

/// The attempt that a request names; `None`: it is none of ours.
pub(crate) fn attempt_of(request: &str) -> Option<&str> {
    let attempt = request.strip_suffix('\n')?;
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    (attempt.len() == 16 && attempt.bytes().all(is_digit)).then_some(attempt)
}

/// The package with this digest, in the agent's folder.
pub(crate) fn package(agent_dir: &Path, digest: &Sha256Hex) -> PathBuf {
    agent_dir.join(format!("{PACKAGE_PREFIX}{digest}.deb"))
}
