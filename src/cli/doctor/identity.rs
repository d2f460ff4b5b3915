//! Which box this is: what an integrator reads out to claim it.

use super::host::HostFiles;
use super::{CheckResult, fail, ok, warn};
use crate::cli::units::Runner;
use crate::config::Config;
use crate::guard::identity;
use crate::ipc::{BoxIdentity, KeyAtRest, Status};
use crate::text::Language;

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

/// Where the kernel lists TPM 2.0 devices.
const TPM: &str = "/sys/class/tpmrm";

/// How the box's key and the roles' secrets lie on the disk.
pub(super) fn at_rest(
    machine: &HostFiles,
    config: &Config,
    runner: &Runner,
    status: Option<&Status>,
) -> Vec<CheckResult> {
    let told = status.and_then(|status| status.identity_at_rest);
    let has_tpm = !machine.names(TPM).is_empty();
    let key = told.or_else(|| identity::at_rest(&config.device.data_dir));
    let mut rows: Vec<_> = key.map(|key| key_at_rest(key, has_tpm)).into_iter().collect();
    if let (true, Runner::Units(units)) = (has_tpm, runner) {
        let plain = units.iter().flat_map(|unit| unit.plain_credentials().map(|(name, path)| (unit.role, name, path)));
        rows.extend(plain.map(|(role, name, path)| {
            let file = path.display();
            let advice = format!(
                "systemd-creds encrypt --with-key=tpm2 --name={name} {file} {file}.cred; systemctl edit {}, with \
                 LoadCredentialEncrypted={name}:{file}.cred in the place of the line that loads it; {}; \
                 shred -u {file}",
                role.unit(),
                role.again()
            );
            warn("secrets-at-rest", format!("{name} is not encrypted in {file}, and this machine has a TPM"), advice)
        }));
    }
    rows
}

fn key_at_rest(key: KeyAtRest, has_tpm: bool) -> CheckResult {
    let (check, found) = ("identity-at-rest", key.sentence().get(Language::En));
    match key {
        KeyAtRest::Plain if has_tpm => warn(
            check,
            format!("{found}; this machine has a TPM"),
            "apt-get install tpm2-tools, and restart the guard: it has the TPM seal the key after ten minutes; why it \
             does not: journalctl -t tallybox-sealing -t tallybox-guard",
        ),
        KeyAtRest::Tpm | KeyAtRest::Plain => ok(check, found),
        KeyAtRest::TpmFails => fail(check, found, key.advice()),
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
