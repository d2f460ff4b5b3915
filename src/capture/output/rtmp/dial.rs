//! Makes the socket of an RTMP session.

use std::path::Path;
use std::time::Duration;

use rustls::pki_types::ServerName;

use super::endpoint::RtmpEndpoint;
use super::socket::RtmpSocket;
use crate::capture::output::error::ConnectionError;
use crate::capture::output::tls;
use crate::connect::{Destinations, Unreachable};

/// Reaching the server may take this long, including the lookup of its name.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(8);

/// Looks the name up, connects and sets up TLS.
pub(super) fn connect_socket(
    endpoint: &RtmpEndpoint,
    destinations: &Destinations,
    ca_file: Option<&Path>,
) -> Result<RtmpSocket, ConnectionError> {
    let stream = destinations.connect(endpoint.host.as_str(), endpoint.port, CONNECT_TIMEOUT, &|| false).map_err(
        |why| match why {
            Unreachable::Unresolved => {
                ConnectionError::unreachable("the host name cannot be resolved: see the network's DNS, or [ingest] url")
            }
            Unreachable::Refused => {
                ConnectionError::unreachable("connection refused: no ingest server listens on that port")
            }
            Unreachable::NotAllowed | Unreachable::Outside | Unreachable::Metered => ConnectionError::from(why),
            Unreachable::TimedOut | Unreachable::NoRoute | Unreachable::Broken | Unreachable::Stopped => {
                ConnectionError::unreachable(why.to_string())
            }
        },
    )?;
    let tls = if endpoint.tls {
        let config = tls::client_config(ca_file)?;
        let name = ServerName::try_from(endpoint.host.as_str().to_owned());
        let name = name.map_err(|_| {
            ConnectionError::rejected("no certificate can be for that host: see the host in [ingest] url")
        })?;
        Some((config, name))
    } else {
        None
    };
    RtmpSocket::new(stream, tls)
        .map_err(|error| ConnectionError::unreachable(format!("the connection cannot be used: {error}")))
}
