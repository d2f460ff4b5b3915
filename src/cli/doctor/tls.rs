//! A TLS handshake as the roles do it, and how long the certificates in it are good.

use std::io::ErrorKind;
use std::net::TcpStream;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::PATIENCE;
use crate::certificate;
use crate::revocation::RevocationList;
use crate::sync::LockExt;

/// With TLS 1.3 a server refuses a client after the client's handshake is done; this is how long that is waited for.
const AFTERTHOUGHT: Duration = Duration::from_millis(500);

/// A certificate of this box's own, with its key.
pub(super) struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Identity {
    /// `key` is a key in PEM form, or the path of a file with one.
    pub(super) fn new(chain: Vec<CertificateDer<'static>>, key: &str) -> Result<Self, String> {
        let parsed = if key.contains("-----BEGIN") {
            PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|error| format!("client-key: {error}"))
        } else {
            PrivateKeyDer::from_pem_file(key).map_err(|error| format!("{key}: {error}"))
        };
        Ok(Self { chain, key: parsed? })
    }

    /// Whether certificate and key belong together; why not where the key is of no use at all.
    pub(super) fn belongs_together(&self) -> Result<bool, String> {
        certificate::belong_together(self.chain.clone(), self.key.clone_key()).map_err(|error| error.to_string())
    }
}

/// How a handshake ended.
pub(super) struct Shaken {
    /// What the server showed, whether or not it was believed.
    pub(super) shown: Vec<CertificateDer<'static>>,
    /// Why there is no connection, if there is none.
    pub(super) refused: Option<String>,
}

/// Verifies as rustls does, and keeps what it was shown.
#[derive(Debug)]
struct Witness {
    judge: Arc<WebPkiServerVerifier>,
    shown: Mutex<Vec<CertificateDer<'static>>>,
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let all = std::iter::once(end_entity).chain(intermediates).map(|one| one.clone().into_owned());
        *self.shown.lock_unpoisoned() = all.collect();
        self.judge.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.judge.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.judge.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.judge.supported_verify_schemes()
    }
}

/// Shakes hands, with this box's certificate if it has one, and hears whether the server is content.
pub(super) fn handshake(
    stream: &mut TcpStream,
    host: &str,
    (ca, crl): (&Path, Option<&Path>),
    own: Option<&Identity>,
) -> Result<Shaken, String> {
    let mut roots = RootCertStore::empty();
    let authorities = certificate::read(ca).map_err(|why| format!("{}: {why}", ca.display()))?;
    roots.add_parsable_certificates(authorities);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut judge = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    if let Some(crl) = crl {
        let list = RevocationList::read(crl).map_err(|why| format!("crl-file {}: {why}", crl.display()))?;
        judge = list.applied_to(judge);
    }
    let judge = judge.build().map_err(|error| format!("{}: {error}", ca.display()))?;
    let witness = Arc::new(Witness { judge, shown: Mutex::default() });
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(witness.clone());
    let config = match own {
        Some(Identity { chain, key }) => config
            .with_client_auth_cert(chain.clone(), key.clone_key())
            .map_err(|error| format!("this box's certificate and key: {error}"))?,
        None => config.with_no_client_auth(),
    };
    let name = ServerName::try_from(host.to_owned()).map_err(|error| error.to_string())?;
    let mut connection = ClientConnection::new(Arc::new(config), name).map_err(|error| error.to_string())?;
    let refused = talk(stream, &mut connection).err();
    let shown = std::mem::take(&mut *witness.shown.lock_unpoisoned());
    Ok(Shaken { shown, refused })
}

fn talk(stream: &mut TcpStream, connection: &mut ClientConnection) -> Result<(), String> {
    let timeouts = stream.set_read_timeout(Some(PATIENCE)).and_then(|()| stream.set_write_timeout(Some(PATIENCE)));
    timeouts.map_err(|error| error.to_string())?;
    while connection.is_handshaking() {
        connection.complete_io(stream).map_err(|error| error.to_string())?;
    }
    stream.set_read_timeout(Some(AFTERTHOUGHT)).map_err(|error| error.to_string())?;
    // Tickets come first; a server that is content then waits for us.
    loop {
        match connection.complete_io(stream) {
            Ok((0, _)) => return Ok(()),
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return Ok(()),
            Err(error) => return Err(error.to_string()),
        }
    }
}
