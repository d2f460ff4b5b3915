//! SRT: connects to each address of the server, since `srtsink` itself tries only the first one.

mod connection;
mod race;

use std::time::Duration;

use crate::capture::error::CaptureError;
use crate::capture::output::connection::IngestConnection;
use crate::capture::output::error::ConnectionError;
use crate::capture::output::target::IngestTarget;
use crate::config::{self, Secret};
use crate::sync::LockExt;

use connection::SrtConnection;
#[cfg(any(test, feature = "fuzzing"))]
pub(super) use connection::transport_stats;
use race::AddressRace;

/// The lookup of the server's name may take this long: a name server that does not answer is asked twice.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);
/// At most this many addresses of one name are tried: each costs a pipeline.
const MAX_ADDRESSES: usize = 8;

/// Starts to connect to the first of the server's addresses that answers.
///
/// # Errors
/// The name has no address, or no connection can be built.
pub(super) fn connect(
    target: &IngestTarget,
    options: &config::Srt,
    passphrase: Option<&Secret>,
    stream_id: Option<&Secret>,
) -> Result<Box<dyn IngestConnection>, ConnectionError> {
    let (host, port) = (target.destination.host.as_str(), target.destination.port);
    let unreachable = |why| {
        let ConnectionError { kind, reason } = ConnectionError::from(why);
        ConnectionError { kind, reason: format!("{}: {reason}", target.host_port()) }
    };
    let mut addresses = target.destinations.resolve(host, port, RESOLVE_TIMEOUT, &|| false).map_err(unreachable)?;
    let last_address = *target.last_address.lock_unpoisoned();
    // The sort is stable: the others stay in their order.
    addresses.sort_by_key(|address| Some(*address) != last_address);
    addresses.truncate(MAX_ADDRESSES);
    let attempts = addresses
        .into_iter()
        .map(|address| SrtConnection::new(target, address, options, passphrase, stream_id))
        .collect::<Result<Vec<_>, CaptureError>>();
    let attempts = attempts.map_err(|failure| ConnectionError::unreachable(failure.message))?;
    Ok(Box::new(AddressRace::new(attempts, &target.last_address)))
}
