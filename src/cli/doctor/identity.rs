//! Which box this is: what an integrator reads out to claim it.

use super::{CheckResult, fail, ok, warn};
use crate::config::Config;
use crate::guard::identity;
use crate::ipc::{BoxIdentity, Status};

/// The guard's word; without it the key's file, as far as this user may read it.
pub(super) fn row(config: &Config, status: Option<&Status>) -> CheckResult {
    if let Some(identity) = status.and_then(|status| status.identity.as_ref()) {
        return told(identity);
    }
    match identity::read(&config.device.data_dir, config.device.id.as_deref()) {
        Ok(Some(identity)) => told(&identity),
        Ok(None) => warn("identity", "none yet", "the guard makes it when it first starts"),
        Err(identity::IdentityError::Store { error, .. })
            if error.kind() == std::io::ErrorKind::PermissionDenied && !rustix::process::geteuid().is_root() =>
        {
            warn("identity", "not judged: this user may not read the box's key", "call doctor as root")
        }
        Err(error) => {
            let text = error.to_string();
            let (found, advice) = text.split_once("; ").unwrap_or((&text, ""));
            fail("identity", found, advice)
        }
    }
}

/// The box's name at the broker: the configured one, or the one that its key gives, as far as that is known.
pub(in crate::cli) fn device_id(config: &Config, status: Option<&Status>) -> Option<String> {
    let own = || status.and_then(|status| status.identity.as_ref()).map(BoxIdentity::device_id);
    let read = || {
        identity::read(&config.device.data_dir, config.device.id.as_deref())
            .ok()
            .flatten()
            .map(|identity| identity.device_id())
    };
    config.device.id.clone().or_else(own).or_else(read)
}

fn told(identity: &BoxIdentity) -> CheckResult {
    ok("identity", format!("claim code {}, key SHA-256 {}", identity.claim_code, identity.fingerprint))
}
