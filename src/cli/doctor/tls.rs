//! A TLS handshake as the roles do it, and how long the certificates in it are good.

use std::io::ErrorKind;
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use x509_cert::der::Decode;

use super::{PATIENCE, Row, fail, ok, warn};
use crate::clock;

/// A certificate that ends within this is worth a word: whoever renews it needs some days.
const SOON: SignedDuration = SignedDuration::from_hours(24 * 30);
/// With TLS 1.3 a server refuses a client after the client's handshake is done; this is how long that is waited for.
const AFTERTHOUGHT: Duration = Duration::from_millis(500);

/// A certificate of this box's own, with its key.
pub(super) struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Identity {
    /// From the file `cert`; `key` is a key in PEM form, or the path of a file with one.
    pub(super) fn read(cert: &Path, key: &str) -> Result<Self, String> {
        let parsed = if key.contains("-----BEGIN") {
            PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|error| format!("client-key: {error}"))
        } else {
            PrivateKeyDer::from_pem_file(key).map_err(|error| format!("{key}: {error}"))
        };
        Ok(Self { chain: certificates(cert)?, key: parsed? })
    }

    pub(super) fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let shown = file.display();
    let found = CertificateDer::pem_file_iter(file).map_err(|error| format!("{shown}: {error}"))?;
    let found: Vec<_> = found.filter_map(Result::ok).collect();
    if found.is_empty() { Err(format!("{shown}: no certificate in PEM form in it")) } else { Ok(found) }
}

/// When the first of some certificates ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Validity {
    until: Timestamp,
}

impl Validity {
    /// What there is to say about it now.
    pub(super) fn row(self, check: &'static str, found: &str, advice: &str) -> Row {
        let left = self.until.duration_since(clock::utc());
        let day = self.until.strftime("%F");
        if left.is_negative() {
            fail(check, format!("{found}; its certificate ended on {day}"), advice)
        } else if left < SOON {
            warn(check, format!("{found}; its certificate ends soon, on {day}"), advice)
        } else {
            ok(check, format!("{found}; its certificate is good until {day}"))
        }
    }
}

/// When the first certificate of a chain ends.
pub(super) fn validity(chain: &[CertificateDer<'_>]) -> Result<Validity, String> {
    let mut first = None;
    for certificate in chain {
        let parsed = x509_cert::Certificate::from_der(certificate).map_err(|error| error.to_string())?;
        let end = parsed.tbs_certificate().validity().not_after.to_unix_duration();
        let end = i64::try_from(end.as_secs()).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
        // One that cannot be a time is far away.
        let end = end.unwrap_or(Timestamp::MAX);
        first = Some(first.map_or(end, |known: Timestamp| known.min(end)));
    }
    first.map(|until| Validity { until }).ok_or_else(|| "no certificate".to_owned())
}

/// Shakes hands, with this box's certificate if it has one, and hears whether the server is content.
pub(super) fn shake_hands(
    stream: &mut TcpStream,
    host: &str,
    ca: &Path,
    own: Option<&Identity>,
) -> Result<Validity, String> {
    let timeouts = stream.set_read_timeout(Some(PATIENCE)).and_then(|()| stream.set_write_timeout(Some(PATIENCE)));
    timeouts.map_err(|error| error.to_string())?;
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates(ca)?);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots);
    let config = match own {
        Some(Identity { chain, key }) => config
            .with_client_auth_cert(chain.clone(), key.clone_key())
            .map_err(|error| format!("this box's certificate and key: {error}"))?,
        None => config.with_no_client_auth(),
    };
    let name = ServerName::try_from(host.to_owned()).map_err(|error| error.to_string())?;
    let mut connection = ClientConnection::new(Arc::new(config), name).map_err(|error| error.to_string())?;
    while connection.is_handshaking() {
        connection.complete_io(stream).map_err(|error| error.to_string())?;
    }
    stream.set_read_timeout(Some(AFTERTHOUGHT)).map_err(|error| error.to_string())?;
    // Tickets come first; a server that is content then waits for us.
    loop {
        match connection.complete_io(stream) {
            Ok((0, _)) => break,
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
            Err(error) => return Err(error.to_string()),
        }
    }
    validity(connection.peer_certificates().unwrap_or_default())
}
