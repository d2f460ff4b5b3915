//! Certificates, judged before the box has them: they are what they are said to be, belong together, and are good
//! today.

use jiff::Timestamp;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::choices::{Choices, Material, Wrong};
use crate::certificate::{self, Age, Validity, names_in};
use crate::clock;

/// What is wrong with the certificates and the key among the choices.
pub(super) fn diagnostics(choices: &Choices) -> Vec<Wrong> {
    let now = clock::utc_now();
    let mut wrong = Vec::new();
    let chain = |key: &'static str, material: Option<&Material>, wrong: &mut Vec<Wrong>| {
        let chain = material.map(|material| chain(material).and_then(|chain| in_time(chain, now)))?;
        chain.map_err(|why| wrong.push((key, why))).ok()
    };
    chain("ca-file", choices.ca.as_ref(), &mut wrong);
    let own = chain("client-cert-file", choices.client_cert.as_ref(), &mut wrong);
    let key = choices.client_key.as_ref().map(private_key);
    match (own, key) {
        (_, Some(Err(why))) => wrong.push(("client-key-file", why)),
        (Some(chain), Some(Ok(key))) => {
            if let Err(why) = belong_together(chain, key) {
                wrong.push(("client-key-file", why));
            }
        }
        (Some(_) | None, None) | (None, Some(Ok(_))) => {}
    }
    wrong
}

/// The names of the client certificate that a box can have: a broker may take its id from there. Empty where there is
/// no such name; a broker that goes by another one knows boxes in another way.
pub(super) fn ids(choices: &Choices) -> Vec<String> {
    let chain = choices.client_cert.as_ref().and_then(|material| chain(material).ok()).unwrap_or_default();
    let names = chain.first().map(names_in).unwrap_or_default();
    names.into_iter().filter(|name| crate::config::is_device_id(name)).collect()
}

fn chain(material: &Material) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(&material.content).filter_map(Result::ok).collect();
    if !found.is_empty() {
        return Ok(found);
    }
    let is_key = PrivateKeyDer::from_pem_slice(&material.content).is_ok();
    let advice = if is_key {
        "it has a private key and no certificate: are the two files swapped?"
    } else {
        "no certificate in PEM form is in it; from DER: openssl x509 -inform der -in FILE -out FILE.pem"
    };
    Err(format!("{}: {advice}", material.shown()))
}

/// The chain, if each certificate of it is good now. A clock that was never set is no judge.
fn in_time(chain: Vec<CertificateDer<'static>>, now: Timestamp) -> Result<Vec<CertificateDer<'static>>, String> {
    for certificate in chain.iter().filter(|_| clock::is_plausible(now)) {
        let validity = Validity::of(certificate)
            .map_err(|error| format!("the certificate cannot be read: {error}; have it made anew"))?;
        let (from, until) = (validity.from.strftime("%F"), validity.until.strftime("%F"));
        match validity.age(now) {
            Age::Over => return Err(format!("the certificate ended on {until}; have a new one made")),
            Age::Early => {
                let now = now.strftime("%F");
                return Err(format!("the certificate begins on {from}, and here it is {now}; see this box's clock"));
            }
            Age::Soon | Age::Good => {}
        }
    }
    Ok(chain)
}

fn private_key(material: &Material) -> Result<PrivateKeyDer<'static>, String> {
    let text = String::from_utf8_lossy(&material.content);
    let shown = material.shown();
    if text.contains("ENCRYPTED") {
        return Err(format!("{shown}: the key has a password; without one: openssl pkey -in FILE -out client.key"));
    }
    PrivateKeyDer::from_pem_slice(&material.content).map_err(|_| {
        let swapped = if text.contains("BEGIN CERTIFICATE") { ": are the two files swapped?" } else { "" };
        format!("{shown}: no private key in PEM form is in it{swapped}")
    })
}

fn belong_together(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<(), String> {
    let advice = "give the key that this certificate was made for";
    match certificate::belong_together(chain, key) {
        Ok(true) => Ok(()),
        Ok(false) => Err(format!("key and certificate do not belong together; {advice}")),
        Err(error) => {
            Err(format!("the key cannot be used: {error}; P-256, P-384, Ed25519 and RSA of 2048 bits and more can"))
        }
    }
}
