//! Whom connections trust: the system's authorities. And why a server is not trusted, which GStreamer does not tell.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CertificateError, ClientConfig, ClientConnection, Error, RootCertStore};

use crate::connect::connect;
use crate::trust::SYSTEM_AUTHORITIES;

/// What a handshake may take that only explains.
const PATIENCE: Duration = Duration::from_secs(3);

/// The certificates of the system's authorities.
pub(super) fn authorities() -> Vec<CertificateDer<'static>> {
    let Ok(found) = CertificateDer::pem_file_iter(SYSTEM_AUTHORITIES) else { return Vec::new() };
    found.filter_map(Result::ok).collect()
}

/// Shakes hands with a server that was not trusted, to learn why. `None`: there is nothing wrong with it now.
pub(super) fn why_not(host: &str, port: u16) -> Option<&'static str> {
    let mut stream = connect(host, port, PATIENCE, &|| false).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).and_then(|()| stream.set_write_timeout(Some(PATIENCE))).ok()?;
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(authorities());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().ok()?;
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).ok()?;
    let mut connection = ClientConnection::new(Arc::new(config), name).ok()?;
    while connection.is_handshaking() {
        if let Err(error) = connection.complete_io(&mut stream) {
            return Some(error.get_ref().and_then(|inner| inner.downcast_ref()).map_or(NO_TLS, explain));
        }
    }
    None
}

const NO_TLS: &str = "no TLS is spoken on that port: see scheme and port in [ingest] url";

/// What an error of TLS means, and what to do about it.
// Whatever else a library can find wrong with a certificate is told in general words, what it will find some day too.
#[allow(clippy::wildcard_enum_match_arm)]
pub(super) fn explain(error: &Error) -> &'static str {
    match error {
        Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => {
            "its certificate is not accepted, it is for another name: write in [ingest] url the name that the certificate has"
        }
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "its certificate is not accepted, it is from an authority that is not trusted: install that one with \
             update-ca-certificates"
        }
        Error::InvalidCertificate(
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. },
        ) => {
            "its certificate is not accepted, it is not valid at this time: see this box's clock, and the certificate's dates"
        }
        Error::InvalidMessage(_) => NO_TLS,
        _ => "its certificate is not accepted: wrong name, unknown authority or expired, or this box's clock is wrong",
    }
}
