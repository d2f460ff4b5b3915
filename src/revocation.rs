//! Certificates that their authorities have withdrawn: X.509 certificate revocation lists (RFC 5280, section 5).

use std::path::Path;

use jiff::Timestamp;
use rustls::client::ServerCertVerifierBuilder;
use rustls::pki_types::CertificateRevocationListDer;
use rustls::pki_types::pem::PemObject;
use x509_cert::crl::CertificateList;
use x509_cert::der::Decode;

/// The lists of one file, one for each authority.
pub(crate) struct RevocationList {
    lists: Vec<CertificateRevocationListDer<'static>>,
    /// When the first of them is to be replaced by a newer one.
    next_update: Option<Timestamp>,
}

impl RevocationList {
    /// Reads a file in PEM form.
    ///
    /// # Errors
    /// What is wrong with the file, without its name.
    pub(crate) fn read(file: &Path) -> Result<Self, String> {
        let found = CertificateRevocationListDer::pem_file_iter(file).map_err(|error| error.to_string())?;
        let lists: Vec<_> = found.collect::<Result<_, _>>().map_err(|error| error.to_string())?;
        if lists.is_empty() {
            return Err("no revocation list in PEM form in it (-----BEGIN X509 CRL-----)".to_owned());
        }
        let mut next_update = None;
        for list in &lists {
            let parsed: CertificateList =
                CertificateList::from_der(list).map_err(|error| format!("a list in it cannot be read: {error}"))?;
            // Without a number it is of version 1, which rustls does not take.
            if parsed.tbs_cert_list.crl_extensions.is_none() {
                return Err("a list in it is of version 1: have one of version 2 made (openssl ca -gencrl with \
                            crlnumber and crl_extensions)"
                    .to_owned());
            }
            let until = parsed
                .tbs_cert_list
                .next_update
                .and_then(|time| Timestamp::from_second(i64::try_from(time.to_unix_duration().as_secs()).ok()?).ok());
            next_update = [next_update, until].into_iter().flatten().min();
        }
        Ok(Self { lists, next_update })
    }

    pub(crate) fn next_update(&self) -> Option<Timestamp> {
        self.next_update
    }

    /// In DER form.
    pub(crate) fn lists(&self) -> impl Iterator<Item = &[u8]> {
        self.lists.iter().map(AsRef::as_ref)
    }

    /// A server whose own certificate is in a list is refused, and so is one whose authority has no list in the file. A
    /// list that is overdue still counts: were it refused, a file that nobody renews would shut out all boxes at once.
    pub(crate) fn applied_to(&self, verifier: ServerCertVerifierBuilder) -> ServerCertVerifierBuilder {
        verifier.with_crls(self.lists.iter().cloned()).only_check_end_entity_revocation()
    }
}
