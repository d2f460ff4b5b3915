//! Whom connections trust where nothing else is configured, and what it means when a certificate is refused.

/// Debian's bundle of the authorities that it trusts, from the package ca-certificates.
pub(crate) const SYSTEM_AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// What marks that a server refuses a client which shows no certificate; in lower case.
const WANTS_CERTIFICATE: &[&str] =
    &["certificaterequired", "certificate required", "handshakefailure", "badcertificate"];

/// Marks of an error, in lower case, and what it means. The first row with a mark in the error counts.
const ADVICE: [(&[&str], &str); 9] = [
    (
        &["revoked"],
        "a certificate was revoked: if it is the server's, somebody may pretend to be it, and whoever keeps it has to have \
         a new one made; if it is this box's, have a new one made for it",
    ),
    (
        &["unknownrevocationstatus"],
        "its authority has no list in crl-file: put the authority's list there beside the others, or delete crl-file",
    ),
    (
        &["notvalidforname", "valid for name"],
        "its certificate is for another name: write in the URL the name that its certificate has",
    ),
    (
        &["badsignature"],
        "its certificate is from another authority that has the same name as the one that is trusted: put the ca.pem \
         into ca-file that was made with the server's certificate",
    ),
    (
        &["invalidpurpose", "extended key usage", "causedasendentity"],
        "its certificate is none for a server: whoever keeps it has to have one made for its name",
    ),
    (
        &["unknownissuer", "unknown issuer"],
        "its certificate is from an authority that is not trusted: set ca-file, or install the authority",
    ),
    (WANTS_CERTIFICATE, "it wants a client certificate: set [mqtt] client-cert and client-key"),
    (
        &["unknownca", "certificateunknown", "decrypterror"],
        "it does not take this box's certificate: see [mqtt] client-cert, and which authority signed it",
    ),
    (
        &["expired", "notvalidyet", "not valid yet"],
        "a certificate is not valid at this time: see this box's clock, and the certificates' dates",
    ),
];

/// What a refused certificate means and what to do about it, from the words of rustls or of the server's alert, which
/// clients hand on in errors of their own. `None`: certificates are not the trouble.
pub(crate) fn certificate_advice(error: &str) -> Option<&'static str> {
    let error = error.to_lowercase();
    ADVICE.iter().find(|(marks, _)| has_mark(&error, marks)).map(|(_, advice)| *advice)
}

/// Whether a server refuses a client that shows no certificate.
pub(crate) fn wants_certificate(error: &str) -> bool {
    has_mark(&error.to_lowercase(), WANTS_CERTIFICATE)
}

/// Whether an error in lower case has one of these marks.
pub(crate) fn has_mark(error: &str, marks: &[&str]) -> bool {
    marks.iter().any(|mark| error.contains(mark))
}

#[cfg(test)]
mod tests {
    use rustls::{AlertDescription, CertificateError, Error};

    use super::*;

    /// Each row by an error as rustls prints it.
    #[test]
    fn each_error_of_rustls_has_its_advice() {
        for (error, advice) in [
            (Error::InvalidCertificate(CertificateError::Revoked), "was revoked"),
            (Error::AlertReceived(AlertDescription::CertificateRevoked), "was revoked"),
            (Error::InvalidCertificate(CertificateError::UnknownRevocationStatus), "no list in crl-file"),
            (Error::InvalidCertificate(CertificateError::NotValidForName), "another name"),
            (Error::InvalidCertificate(CertificateError::BadSignature), "the same name as the one that is trusted"),
            (Error::InvalidCertificate(CertificateError::InvalidPurpose), "none for a server"),
            (Error::InvalidCertificate(CertificateError::UnknownIssuer), "set ca-file"),
            (Error::AlertReceived(AlertDescription::CertificateRequired), "wants a client certificate"),
            (Error::AlertReceived(AlertDescription::HandshakeFailure), "wants a client certificate"),
            (Error::AlertReceived(AlertDescription::BadCertificate), "wants a client certificate"),
            (Error::AlertReceived(AlertDescription::UnknownCA), "does not take this box's certificate"),
            (Error::AlertReceived(AlertDescription::CertificateUnknown), "does not take this box's certificate"),
            (Error::AlertReceived(AlertDescription::DecryptError), "does not take this box's certificate"),
            (Error::InvalidCertificate(CertificateError::Expired), "this box's clock"),
            (Error::InvalidCertificate(CertificateError::NotValidYet), "this box's clock"),
            (Error::AlertReceived(AlertDescription::CertificateExpired), "this box's clock"),
        ] {
            let error = error.to_string();
            let found = certificate_advice(&error).unwrap_or_else(|| panic!("{error}: no advice"));
            assert!(found.contains(advice), "{error}: {found}");
            assert_eq!(wants_certificate(&error), advice.starts_with("wants"), "{error}");
        }
        for other in ["connection refused", "the handshake timed out", "InvalidContentType"] {
            assert_eq!(certificate_advice(other), None, "{other}");
        }
    }
}
