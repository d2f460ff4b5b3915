//! What is doubtful about the way to the broker, in words that platforms can count: `warnings` in `state` and status.

use jiff::Timestamp;
use serde::Serialize;

use crate::certificate::{self, Age, Validity};
use crate::config::Mqtt;
use crate::revocation::RevocationList;

/// One doubt. The words are stable; `doctor` has the sentences.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Warning {
    /// Without TLS to another machine, because `allow-plain` says so.
    PlainMqtt,
    /// With TLS, but neither a client certificate nor a password tells the broker which box this is.
    NoClientIdentity,
    /// The client certificate is for another name than the box's id.
    CertificateOtherName,
    /// The client certificate's time has not begun.
    CertificateNotYetValid,
    /// The client certificate's time is over.
    CertificateExpired,
    /// A revocation list in `crl-file` should have been replaced by a newer one.
    RevocationListOverdue,
}

impl Warning {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::PlainMqtt,
        Self::NoClientIdentity,
        Self::CertificateOtherName,
        Self::CertificateNotYetValid,
        Self::CertificateExpired,
        Self::RevocationListOverdue,
    ];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PlainMqtt => "plain-mqtt",
            Self::NoClientIdentity => "no-client-identity",
            Self::CertificateOtherName => "certificate-other-name",
            Self::CertificateNotYetValid => "certificate-not-yet-valid",
            Self::CertificateExpired => "certificate-expired",
            Self::RevocationListOverdue => "revocation-list-overdue",
        }
    }

    /// The same as a sentence, with what to do.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::PlainMqtt => {
                "the broker is reached without encryption, and anybody on the network can send commands: write mqtts:// in \
                 [mqtt] url, and delete allow-plain"
            }
            Self::NoClientIdentity => {
                "the broker cannot know which box this is: set [mqtt] client-cert and client-key, or user and password"
            }
            Self::CertificateOtherName => {
                "the client certificate is for another name than this box's id: set [device] id to that name, or have a \
                 certificate made for this id"
            }
            Self::CertificateNotYetValid => {
                "the client certificate is not good yet: see the box's clock, and the certificate's dates"
            }
            Self::CertificateExpired => "the client certificate has ended: have a new one made, and put it there",
            Self::RevocationListOverdue => {
                "the list of revoked certificates is overdue, and may lack newer ones: put a new one where [mqtt] crl-file \
                 says"
            }
        }
    }
}

/// What there is to say at `now`, by the files as they are; `id` is the box's name at the broker, as far as it is
/// known. A file that cannot be read is no matter of this list: without it there is no connection.
pub(crate) fn gather(mqtt: &Mqtt, id: Option<&str>, now: Timestamp) -> Vec<Warning> {
    let own = mqtt.client_cert.as_deref().and_then(|file| certificate::read(file).ok());
    let names = own.as_ref().and_then(|chain| chain.first()).map(certificate::names_in).unwrap_or_default();
    let age = own.and_then(|chain| Validity::of_chain(&chain).ok()).map(|validity| validity.age(now));
    let overdue = || {
        let list = mqtt.crl_file.as_deref().and_then(|file| RevocationList::read(file).ok());
        list.and_then(|list| list.next_update()).is_some_and(|until| until < now)
    };
    let has = |warning: &Warning| match warning {
        Warning::PlainMqtt => !mqtt.tls && !mqtt.host.is_loopback(),
        Warning::NoClientIdentity => mqtt.tls && mqtt.client_cert.is_none() && mqtt.login.is_none(),
        Warning::CertificateOtherName => id.is_some_and(|id| names.first().is_some_and(|name| name != id)),
        Warning::CertificateNotYetValid => age == Some(Age::Early),
        Warning::CertificateExpired => age == Some(Age::Over),
        Warning::RevocationListOverdue => overdue(),
    };
    Warning::ALL.into_iter().filter(has).collect()
}

#[cfg(test)]
mod tests {
    use super::Warning;

    #[test]
    fn words_in_status_and_state_are_the_same() {
        for warning in Warning::ALL {
            assert_eq!(serde_json::to_value(warning).unwrap(), warning.as_str());
        }
    }
}
