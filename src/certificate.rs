//! From when to when certificates are good.

use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use rustls::InconsistentKeys;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use crate::config::Config;

/// A certificate that ends within this is worth a word: whoever renews it needs some days.
pub(crate) const SOON: SignedDuration = SignedDuration::from_hours(24 * 30);

/// From when to when something is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Validity {
    /// Not before this.
    pub(crate) from: Timestamp,
    /// Not after this.
    pub(crate) until: Timestamp,
}

/// How it stands with a certificate at some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Age {
    /// Its time has not begun.
    Early,
    /// It is good for a long time.
    Good,
    /// It ends within [`SOON`].
    Soon,
    /// Its time is over.
    Over,
}

impl Validity {
    /// Of one certificate.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn of(certificate: &CertificateDer<'_>) -> Result<Self, String> {
        let parsed = x509_cert::Certificate::from_der(certificate).map_err(|error| error.to_string())?;
        let times = parsed.tbs_certificate().validity();
        let time = |time: &x509_cert::time::Time| {
            let seconds = i64::try_from(time.to_unix_duration().as_secs()).ok();
            // One that cannot be a time is far away.
            seconds.and_then(|seconds| Timestamp::from_second(seconds).ok()).unwrap_or(Timestamp::MAX)
        };
        Ok(Self { from: time(&times.not_before), until: time(&times.not_after) })
    }

    /// Of a chain: all of its certificates have to be good.
    ///
    /// # Errors
    /// What is wrong with one of them, or that there is none.
    pub(crate) fn of_chain(chain: &[CertificateDer<'_>]) -> Result<Self, String> {
        let all: Vec<Self> = chain.iter().map(Self::of).collect::<Result<_, _>>()?;
        let both = |one: Self, other: Self| Self { from: one.from.max(other.from), until: one.until.min(other.until) };
        all.into_iter().reduce(both).ok_or_else(|| "no certificate".to_owned())
    }

    /// Of authorities that are trusted: one that is good is enough, since a new one stands beside the old for a time.
    ///
    /// # Errors
    /// That none of them can be read.
    pub(crate) fn of_authorities(authorities: &[CertificateDer<'_>]) -> Result<Self, String> {
        let all = authorities.iter().filter_map(|one| Self::of(one).ok());
        let either =
            |one: Self, other: Self| Self { from: one.from.min(other.from), until: one.until.max(other.until) };
        all.reduce(either).ok_or_else(|| "no certificate that can be read".to_owned())
    }

    pub(crate) fn age(self, now: Timestamp) -> Age {
        if now < self.from {
            Age::Early
        } else if now > self.until {
            Age::Over
        } else if self.until.duration_since(now) < SOON {
            Age::Soon
        } else {
            Age::Good
        }
    }
}

/// When the first of the files' certificates ends that connections with `config` stand on; `None`: none is configured,
/// or none can be read.
pub(crate) fn first_end(config: &Config) -> Option<Timestamp> {
    let authorities = config.mqtt.iter().filter_map(|mqtt| mqtt.ca_file.as_deref());
    let authorities = authorities.chain(config.ingest.destinations().filter_map(|to| to.ca_file.as_deref()));
    let authorities = authorities.filter_map(|file| Validity::of_authorities(&read(file).ok()?).ok());
    let own = config.mqtt.iter().filter_map(|mqtt| mqtt.client_cert.as_deref());
    let own = own.filter_map(|file| Validity::of_chain(&read(file).ok()?).ok());
    authorities.chain(own).map(|validity| validity.until).min()
}

/// Whether a certificate, the first of `chain`, was made for `key`.
///
/// # Errors
/// Why the key is of no use at all.
pub(crate) fn belong_together(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<bool, rustls::Error> {
    match CertifiedKey::from_der(chain, key, &rustls::crypto::ring::default_provider()) {
        Ok(_) => Ok(true),
        Err(rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The certificates in a file in PEM form.
///
/// # Errors
/// What is wrong with the file, without its name.
pub(crate) fn read(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let found = CertificateDer::pem_file_iter(file).map_err(|error| error.to_string())?;
    let found: Vec<_> = found.filter_map(Result::ok).collect();
    if found.is_empty() { Err("no certificate in PEM form in it".to_owned()) } else { Ok(found) }
}

/// The names that a certificate is for: common name, and names of hosts.
pub(crate) fn names_in(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok(parsed) = x509_cert::Certificate::from_der(certificate) else { return Vec::new() };
    let content = parsed.tbs_certificate();
    let mut names: Vec<String> = content.subject().common_name().ok().flatten().map(String::from).into_iter().collect();
    if let Ok(Some((_, SubjectAltName(more)))) = content.get_extension::<SubjectAltName>() {
        for name in more {
            if let GeneralName::DnsName(name) = name {
                names.push(name.to_string());
            }
        }
    }
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use jiff::{SignedDuration, Timestamp};

    use super::{Age, Validity};

    #[test]
    fn thirty_days_ahead_is_soon() {
        let day = SignedDuration::from_hours(24);
        let now: Timestamp = "2026-11-29T10:00:00Z".parse().unwrap();
        let at = |days: i32| now.checked_add(day * days).unwrap();
        for (from, until, age) in [
            (-10, 31, Age::Good),
            (-10, 29, Age::Soon),
            (-10, 0, Age::Soon),
            (-10, -1, Age::Over),
            (1, 400, Age::Early),
        ] {
            assert_eq!(Validity { from: at(from), until: at(until) }.age(now), age, "{from} {until}");
        }
    }
}
