//! Whom connections trust where nothing else is configured, and what it means when a certificate is refused.

/// Debian's bundle of the authorities that it trusts, from the package ca-certificates.
pub(crate) const SYSTEM_AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// What a refused certificate means and what to do about it, from the words of rustls or of the server's alert, which
/// clients hand on in errors of their own. `None`: certificates are not the trouble.
pub(crate) fn advice(why: &str) -> Option<&'static str> {
    let has = |words: &[&str]| words.iter().any(|word| why.contains(word));
    if has(&["NotValidForName", "valid for name"]) {
        Some("its certificate is for another name: write in the URL the name that its certificate has")
    } else if has(&["BadSignature"]) {
        Some(
            "its certificate is from another authority that has the same name as the one that is trusted: put the ca.pem \
             into ca-file that was made with the server's certificate",
        )
    } else if has(&["InvalidPurpose", "CaUsedAsEndEntity"]) {
        Some("its certificate is none for a server: whoever keeps it has to have one made for its name")
    } else if has(&["UnknownIssuer", "unknown issuer"]) {
        Some("its certificate is from an authority that is not trusted: set ca-file, or install the authority")
    } else if wants_certificate(why) {
        Some("it wants a client certificate: set [mqtt] client-cert and client-key")
    } else if has(&["UnknownCA", "CertificateUnknown", "DecryptError"]) {
        Some("it does not take this box's certificate: see [mqtt] client-cert, and which authority signed it")
    } else if has(&["xpired", "NotValidYet", "not valid yet"]) {
        Some("a certificate is not valid at this time: see this box's clock, and the certificates' dates")
    } else {
        None
    }
}

/// Whether a server refuses a client that shows no certificate.
pub(crate) fn wants_certificate(why: &str) -> bool {
    ["CertificateRequired", "certificate required", "HandshakeFailure", "BadCertificate"]
        .iter()
        .any(|word| why.contains(word))
}
