//! Which box this is: what an integrator reads out to claim it.

use super::{Row, fail, ok, warn};
use crate::config::Config;
use crate::guard::identity;
use crate::ipc::{Identity, Status};

/// The guard's word; without it the key's file, as far as this user may read it.
pub(super) fn row(config: &Config, status: Option<&Status>) -> Row {
    if let Some(identity) = status.and_then(|status| status.identity.as_ref()) {
        return told(identity);
    }
    match identity::read(&config.device.data_dir) {
        Ok(Some(identity)) => told(&identity),
        Ok(None) => warn("identity", "none yet", "the guard makes it when it first starts"),
        Err(error) => {
            let text = error.to_string();
            let (found, advice) = text.split_once("; ").unwrap_or((&text, ""));
            fail("identity", found, advice)
        }
    }
}

fn told(identity: &Identity) -> Row {
    ok("identity", format!("claim code {}, key SHA-256 {}", identity.claim_code, identity.fingerprint))
}
