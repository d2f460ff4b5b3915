//! Credentials that lie under `/etc`, where the guard may not write: a helper that runs as root deletes them.

use std::io;
use std::path::Path;
use std::time::Duration;

use crate::atomic_file::{self, Durability, PRIVATE};
use crate::erasure_files::{ErasureRequest, REQUEST};
use crate::ipc::CredentialsReport;
use crate::random;
use monotonic::Monotonic;

/// How long the helper has. It takes a second or two; a unit that somebody masked never comes.
const HELPER_TIMEOUT: Duration = Duration::from_mins(1);

/// What became of them, for the receipt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::guard) enum CredentialsOutcome {
    /// The helper's report.
    Confirmed(CredentialsReport),
    /// There is no helper here, or none that answered.
    NoHelper,
}

/// How far the helper is.
#[derive(Debug, Default)]
pub(super) enum CredentialsErasure {
    /// It was not asked yet.
    #[default]
    Due,
    /// It was asked, and has until then.
    Asked { attempt: String, until: Monotonic },
    /// It answered, or will not.
    Ended(CredentialsOutcome),
}

impl CredentialsErasure {
    /// Asks the helper, if there is one, and waits for its answer. `None`: it is at work.
    pub(super) fn advance(
        &mut self,
        data_dir: &Path,
        configuration: &str,
        has_helper: bool,
        now: Monotonic,
    ) -> io::Result<Option<CredentialsOutcome>> {
        match self {
            Self::Ended(outcome) => return Ok(Some(outcome.clone())),
            Self::Due if !has_helper => {}
            Self::Due => {
                *self =
                    Self::Asked { attempt: ask(data_dir, configuration)?, until: now.saturating_add(HELPER_TIMEOUT) };
                return Ok(None);
            }
            Self::Asked { until, .. } if now < *until => return Ok(None),
            Self::Asked { .. } => {
                tracing::error!(
                    "nobody deletes the credentials under /etc: see systemctl status tallybox-erasure.path"
                );
            }
        }
        // A helper that comes later must not delete what the next shop puts there.
        withdraw(data_dir)?;
        *self = Self::Ended(CredentialsOutcome::NoHelper);
        Ok(Some(CredentialsOutcome::NoHelper))
    }

    /// The helper's report. Returns whether it was waited for.
    pub(super) fn confirm(&mut self, report: CredentialsReport) -> bool {
        match self {
            Self::Asked { attempt, .. } if *attempt == report.attempt => {
                *self = Self::Ended(CredentialsOutcome::Confirmed(report));
                true
            }
            Self::Due | Self::Asked { .. } | Self::Ended(_) => false,
        }
    }
}

fn ask(data_dir: &Path, configuration: &str) -> io::Result<String> {
    let mut bytes = [0; 8];
    random::fill(&mut bytes)?;
    let request = ErasureRequest { attempt: crate::hex(&bytes), configuration: configuration.to_owned() };
    atomic_file::replace(&data_dir.join(REQUEST), request.text().as_bytes(), PRIVATE, Durability::Synced)?;
    Ok(request.attempt)
}

/// Takes a request back.
pub(in crate::guard) fn withdraw(data_dir: &Path) -> io::Result<()> {
    atomic_file::remove(&data_dir.join(REQUEST))
}
