//! TLS: which certificates are trusted, and what an error means.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{CertificateError, ClientConfig, Error, RootCertStore};

use crate::capture::output::error::ConnectionError;
use crate::trust::SYSTEM_AUTHORITIES;

/// The system's root certificates.
pub(super) fn system_roots() -> Vec<CertificateDer<'static>> {
    let Ok(found) = CertificateDer::pem_file_iter(SYSTEM_AUTHORITIES) else { return Vec::new() };
    found.filter_map(Result::ok).collect()
}

/// The configuration of a client that trusts the certificates in `ca_file`, or else the system's.
///
/// # Errors
/// The file cannot be read, or contains no certificate.
pub(super) fn client_config(ca_file: Option<&Path>) -> Result<Arc<ClientConfig>, ConnectionError> {
    let mut roots = RootCertStore::empty();
    let (found, _) = match ca_file {
        None => roots.add_parsable_certificates(system_roots()),
        Some(path) => {
            let shown = path.display();
            let found = CertificateDer::pem_file_iter(path)
                .map_err(|error| ConnectionError::rejected(format!("ca-file {shown}: {error}")))?;
            roots.add_parsable_certificates(found.filter_map(Result::ok))
        }
    };
    if found == 0 {
        let shown = ca_file.unwrap_or(Path::new(SYSTEM_AUTHORITIES)).display();
        return Err(ConnectionError::rejected(format!("{shown}: no certificate in PEM form in it")));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|error| ConnectionError::rejected(format!("TLS cannot be used: {error}")))?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}

const NOT_TLS: &str = "no TLS is spoken on that port: see scheme and port in [ingest] url";

/// What a TLS error means, and what to do about it.
// Other errors, also those of later versions of rustls, have one general text.
#[allow(clippy::wildcard_enum_match_arm)]
pub(super) fn describe_error(error: &Error) -> &'static str {
    match error {
        Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => {
            "its certificate is not accepted, it is for another name: write in [ingest] url the name that the certificate has"
        }
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "its certificate is not accepted, it is from an authority that is not trusted: set [ingest] ca-file, or install \
             that one with update-ca-certificates"
        }
        Error::InvalidCertificate(
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. },
        ) => {
            "its certificate is not accepted, it is not valid at this time: see this box's clock, and the certificate's dates"
        }
        Error::InvalidMessage(_) => NOT_TLS,
        _ => "its certificate is not accepted: wrong name, unknown authority or expired, or this box's clock is wrong",
    }
}
