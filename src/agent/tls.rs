//! TLS towards the broker. One set of rules serves as long as the files behind it are unchanged, so that a connection
//! can resume the session of the one before it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::Timestamp;
use rumqttc::tokio_rustls::TlsConnector;
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use sha2::{Digest, Sha256};

use crate::certificate::{self, Validity};
use crate::config::Mqtt;
use crate::exit::Exit;
use crate::revocation::RevocationList;
use crate::trust::SYSTEM_AUTHORITIES;

/// Sessions that are kept for the one broker: as many as rustls keeps tickets of a server.
const KEPT_SESSIONS: usize = 8;

/// The rules of connections, and what this box shows in them.
pub(super) struct TlsRules {
    client: Arc<ClientConfig>,
    /// Names in this box's own certificate.
    pub(super) names: Vec<String>,
    /// When this box's own certificate ends.
    pub(super) own_end: Option<Timestamp>,
    digest: [u8; 32],
    distrusted: AtomicBool,
}

impl TlsRules {
    pub(super) fn connector(&self) -> TlsConnector {
        TlsConnector::from(self.client.clone())
    }

    /// A handshake failed: it may have been the session that it wanted to resume, and the next one goes without.
    pub(super) fn distrust_sessions(&self) {
        self.distrusted.store(true, Ordering::Relaxed);
    }
}

/// The rules that are in use.
#[derive(Default)]
pub(super) struct Tls {
    current: Option<Arc<TlsRules>>,
}

impl Tls {
    /// The rules for the next connection, by the files as they are now. Where these are of no use, those before go on,
    /// with the reason why: whoever renews a certificate replaces more than one file.
    ///
    /// # Errors
    /// There are none before, or the files cannot be used.
    pub(super) fn rules(&mut self, mqtt: &Mqtt) -> Result<(Arc<TlsRules>, Option<String>), Exit> {
        let made = Material::read(mqtt).and_then(|material| match &self.current {
            Some(rules) if rules.digest == material.digest() && !rules.distrusted.load(Ordering::Relaxed) => {
                Ok(rules.clone())
            }
            Some(_) | None => material.rules().map(Arc::new),
        });
        match (made, &self.current) {
            (Ok(rules), _) => {
                self.current = Some(rules.clone());
                Ok((rules, None))
            }
            (Err(error), Some(before)) => Ok((before.clone(), Some(unusable_renewal(&error)))),
            (Err(error), None) => Err(error),
        }
    }

    /// Whether the files have become other ones than those of the rules in use, and good ones.
    ///
    /// # Errors
    /// They have, and cannot be used.
    pub(super) fn are_renewed(&self, mqtt: &Mqtt) -> Result<bool, String> {
        let Some(rules) = &self.current else { return Ok(false) };
        let material = Material::read(mqtt).map_err(|error| unusable_renewal(&error))?;
        if material.digest() == rules.digest {
            return Ok(false);
        }
        material.rules().map(|_| true).map_err(|error| unusable_renewal(&error))
    }

    /// When the certificate that this box shows ends.
    pub(super) fn own_end(&self) -> Option<Timestamp> {
        self.current.as_ref().and_then(|rules| rules.own_end)
    }
}

fn unusable_renewal(error: &Exit) -> String {
    format!("the connection keeps to its former certificates: {error}")
}

/// What TLS is made of, as the files are.
struct Material {
    authorities: Vec<CertificateDer<'static>>,
    revoked: Option<RevocationList>,
    /// Certificate and key of this box.
    own: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
}

impl Material {
    fn read(mqtt: &Mqtt) -> Result<Self, Exit> {
        let authorities = match &mqtt.ca_file {
            Some(path) => certificates(path, "[mqtt] ca-file")?,
            None => certificates(Path::new(SYSTEM_AUTHORITIES), "the system's authorities (package ca-certificates)")?,
        };
        let wrong = |path: &Path, why: &str| Exit::config(format!("[mqtt] crl-file {}: {why}", path.display()));
        let revoked = mqtt.crl_file.as_deref().map(|path| RevocationList::read(path).map_err(|why| wrong(path, &why)));
        let own = match (&mqtt.client_cert, &mqtt.client_key) {
            (Some(cert), Some(key)) => {
                let chain = certificates(cert, "[mqtt] client-cert")?;
                let key = key.resolve().map_err(|error| Exit::config(error.to_string()))?;
                Some((chain, private_key(key.expose())?))
            }
            (None, _) | (_, None) => None,
        };
        Ok(Self { authorities, revoked: revoked.transpose()?, own })
    }

    fn digest(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        let mut add = |part: &[u8]| {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        };
        self.authorities.iter().map(AsRef::as_ref).for_each(&mut add);
        add(&[]);
        self.revoked.iter().flat_map(RevocationList::lists).for_each(&mut add);
        add(&[]);
        if let Some((chain, key)) = &self.own {
            chain.iter().map(AsRef::as_ref).for_each(&mut add);
            add(key.secret_der());
        }
        digest.finalize().into()
    }

    fn rules(self) -> Result<TlsRules, Exit> {
        let digest = self.digest();
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(self.authorities);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let judge = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone());
        let judge = match &self.revoked {
            Some(list) => list.applied_to(judge),
            None => judge,
        };
        let judge = judge.build().map_err(|error| Exit::config(format!("[mqtt] ca-file and crl-file: {error}")))?;
        let rules = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| Exit::software(format!("no TLS: {error}")))?
            .with_webpki_verifier(judge);
        let (mut names, mut own_end) = (Vec::new(), None);
        let mut client = match self.own {
            Some((chain, key)) => {
                names = chain.first().map(certificate::names_in).unwrap_or_default();
                own_end = Validity::of_chain(&chain).ok().map(|validity| validity.until);
                rules.with_client_auth_cert(chain, key).map_err(|error| unusable(&error))?
            }
            None => rules.with_no_client_auth(),
        };
        client.resumption = Resumption::in_memory_sessions(KEPT_SESSIONS);
        Ok(TlsRules { client: Arc::new(client), names, own_end, digest, distrusted: AtomicBool::new(false) })
    }
}

fn unusable(error: &rustls::Error) -> Exit {
    let why = if matches!(error, rustls::Error::InconsistentKeys(_)) {
        "they do not belong together; after a renewal restart the agent, which still has the former key".to_owned()
    } else {
        error.to_string()
    };
    Exit::config(format!("[mqtt] client-cert and client-key: {why}"))
}

/// A key in PEM form, or the path of a file with one.
fn private_key(text: &str) -> Result<PrivateKeyDer<'static>, Exit> {
    if text.contains("-----BEGIN") {
        return PrivateKeyDer::from_pem_slice(text.as_bytes())
            .map_err(|error| Exit::config(format!("[mqtt] client-key: {error}")));
    }
    PrivateKeyDer::from_pem_file(text).map_err(|error| Exit::config(format!("[mqtt] client-key {text}: {error}")))
}

fn certificates(path: &Path, what: &str) -> Result<Vec<CertificateDer<'static>>, Exit> {
    certificate::read(path).map_err(|why| Exit::config(format!("{what} {}: {why}", path.display())))
}

#[cfg(test)]
mod tests;
