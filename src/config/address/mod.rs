//! Addresses as typed fields. This is the only parser that an address meets: what it understood is what connections are
//! made of, and what it did not understand is refused.

mod host;
mod odd_characters;
#[cfg(test)]
mod platforms;
mod range;
mod raw;
mod rtmp;
mod scheme;
mod srt;
#[cfg(test)]
mod tests;
mod whip;

use core::fmt;
use std::path::PathBuf;

pub use host::{Host, HostPattern};
pub(super) use odd_characters::odd_name;
pub use range::AddressRange;
pub(super) use raw::Raw;
use raw::decoded;
pub use rtmp::{Login, Rtmp, ServerUrl};
pub use scheme::IngestScheme;
pub(super) use srt::{DEFAULT_LATENCY, LATENCIES, PACKET_SIZES, Query, key_length, passphrase, stream_id};
pub use srt::{Latency, Srt};
pub use whip::Whip;

use super::{MissingSecret, Secret, SecretTemplate};
use crate::ipc::{MESSAGE, clean};

/// Why something is no address, and what would be one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueError {
    /// What is wrong; the reader puts the key's name in front.
    pub message: String,
    /// What would be right.
    pub help: String,
}

impl ValueError {
    pub(super) fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        // It may repeat the value, which a server may have sent.
        Self { message: clean(&message.into(), MESSAGE), help: clean(&help.into(), MESSAGE) }
    }
}

/// `scheme://host:port`: brackets around IPv6, and no port where it is the scheme's own.
pub fn origin(scheme: IngestScheme, host: &Host, port: u16) -> String {
    let port = Some(port).filter(|port| Some(*port) != scheme.default_port());
    let port = port.map_or_else(String::new, |port| format!(":{port}"));
    format!("{}://{}{port}", scheme.as_str(), host.in_url())
}

/// One place where the stream goes.
#[derive(Clone, Debug)]
pub struct Destination {
    /// The server.
    pub host: Host,
    /// Its port; the scheme's own where the address has none.
    pub port: u16,
    /// Certificates that TLS trusts; `None`: the system's authorities.
    pub ca_file: Option<PathBuf>,
    /// How the stream travels, with what the server is told.
    pub protocol: Protocol,
}

/// How the stream travels, with the fields of that protocol.
#[derive(Clone, Debug)]
pub enum Protocol {
    /// RTMP, over TLS or not.
    Rtmp(Rtmp),
    /// SRT, as the caller.
    Srt(Srt),
    /// WHIP, asked over TLS or not.
    Whip(Whip),
}

impl Destination {
    /// The word before `://`.
    pub const fn scheme(&self) -> IngestScheme {
        match &self.protocol {
            Protocol::Rtmp(Rtmp { tls: true, .. }) => IngestScheme::Rtmps,
            Protocol::Rtmp(Rtmp { tls: false, .. }) => IngestScheme::Rtmp,
            Protocol::Srt(_) => IngestScheme::Srt,
            Protocol::Whip(Whip { tls: true, .. }) => IngestScheme::Https,
            Protocol::Whip(Whip { tls: false, .. }) => IngestScheme::Http,
        }
    }

    /// `scheme://host:port`, as [`origin`] writes it.
    pub fn origin(&self) -> String {
        origin(self.scheme(), &self.host, self.port)
    }

    /// For people: [`Destination::origin`], and RTMP's application, which is no secret. Never a key, nor what a secret
    /// is looked up for, nor a query.
    pub fn place(&self) -> String {
        let application = match &self.protocol {
            Protocol::Rtmp(Rtmp { application, .. }) => application.literal(),
            Protocol::Srt(_) | Protocol::Whip(_) => None,
        };
        let name = application.as_deref().and_then(|text| text.split(['/', '?']).next()).unwrap_or_default();
        if name.is_empty() { self.origin() } else { format!("{}/{name}", self.origin()) }
    }

    /// RTMP's `tcUrl` for an application whose secrets are in place.
    pub fn tc_url(&self, application: &Secret) -> Secret {
        Secret::new(format!("{}/{}", self.origin(), application.expose()))
    }

    /// A WHIP endpoint's whole URL, each secret percent-encoded where it stands.
    ///
    /// # Errors
    /// A secret that is nowhere to be found.
    pub fn endpoint(&self, whip: &Whip) -> Result<Secret, MissingSecret> {
        let rest = whip.path_and_query.resolve_encoded()?;
        Ok(Secret::new(format!("{}{}", self.origin(), rest.expose())))
    }

    /// Every field that can have a secret in it.
    pub fn templates(&self) -> impl Iterator<Item = &SecretTemplate> {
        match &self.protocol {
            Protocol::Rtmp(Rtmp { tls: _, application, stream, login }) => {
                let (user, password) = login.as_ref().map(|login| (&login.user, &login.password)).unzip();
                [Some(application), Some(stream), user, password]
            }
            Protocol::Srt(Srt { passphrase, stream_id, .. }) => [passphrase.as_ref(), stream_id.as_ref(), None, None],
            Protocol::Whip(Whip { tls: _, path_and_query, token }) => {
                [Some(path_and_query), token.as_ref(), None, None]
            }
        }
        .into_iter()
        .flatten()
    }

    /// The same fields, to be changed.
    pub(super) fn templates_mut(&mut self) -> impl Iterator<Item = &mut SecretTemplate> {
        match &mut self.protocol {
            Protocol::Rtmp(Rtmp { tls: _, application, stream, login }) => {
                let (user, password) = login.as_mut().map(|login| (&mut login.user, &mut login.password)).unzip();
                [Some(application), Some(stream), user, password]
            }
            Protocol::Srt(Srt { passphrase, stream_id, .. }) => [passphrase.as_mut(), stream_id.as_mut(), None, None],
            Protocol::Whip(Whip { tls: _, path_and_query, token }) => {
                [Some(path_and_query), token.as_mut(), None, None]
            }
        }
        .into_iter()
        .flatten()
    }

    /// What is wrong with the secrets' values, as far as they are found from here; empty where nothing is.
    pub fn unusable_secrets(&self) -> Vec<ValueError> {
        match &self.protocol {
            Protocol::Rtmp(rtmp) => rtmp.unusable_secrets(),
            Protocol::Srt(srt) => srt.unusable_secrets(),
            Protocol::Whip(whip) => whip.unusable_secrets(),
        }
    }
}

/// For people: nothing behind the host, which may be secret.
impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/…", self.origin())
    }
}

/// A value that cannot be sent in one line of a protocol: a file with the secret may have had more lines than one.
fn unsendable(name: &str, template: Option<&SecretTemplate>) -> Option<ValueError> {
    let value = template?.resolve().ok()?;
    let bad = value.expose().chars().find(|letter| letter.is_control())?;
    let help = "put the secret itself into the file or variable, on one line";
    Some(ValueError::new(format!("the value of {name} has the character U+{:04X} in it", u32::from(bad)), help))
}
