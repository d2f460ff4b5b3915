//! Hosts, normalised once: what the allow-list compares is what is looked up and what a certificate has to name.

use core::fmt;
use core::net::{IpAddr, Ipv6Addr};

use super::ValueError;
use super::odd_characters::odd_character;

/// Longest name in characters, and longest label (RFC 1035, 2.3.4).
const NAME: usize = 253;
const LABEL: usize = 63;

/// A host: a name in lower case and in ASCII, without a dot at its end; or an IP address, IPv6 without brackets.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Host(String);

impl Host {
    /// Normalises `text`: upper case, a dot at the end, international names (UTS 46), brackets around IPv6, IPv4 in
    /// IPv6. What only looks like a host is refused.
    ///
    /// # Errors
    /// What is wrong with it, and what would be right.
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        if let Some((place, what)) = odd_character(text) {
            return Err(ValueError::new(
                format!("the host has {what} as character {place}"),
                "write the host without it; it may be invisible, and come from copying",
            ));
        }
        if let Some(inner) = text.strip_prefix('[') {
            let Some(inner) = inner.strip_suffix(']') else {
                return Err(ValueError::new("the host has \"[\" without \"]\"", "write [2001:db8::1]"));
            };
            return Self::ipv6(inner);
        }
        if text.contains(':') {
            return Self::ipv6(text);
        }
        if text.is_empty() {
            return Err(ValueError::new("there is no host", "write the server's name, such as push.example.cn"));
        }
        let plain = "write a name such as push.example.cn, or an IP address";
        if let Some(bad) = text.chars().find(|letter| letter.is_ascii() && !may_be_in_a_name(*letter)) {
            return Err(ValueError::new(format!("the host {text:?} has {bad:?} in it"), plain));
        }
        let name = text.strip_suffix(['.', '。', '．', '｡']).unwrap_or(text);
        let parsed = url::Host::parse(name);
        let name =
            match parsed.map_err(|error| ValueError::new(format!("the host {text:?} is no name: {error}"), plain))? {
                url::Host::Domain(domain) => domain,
                url::Host::Ipv4(address) if address.to_string() == name => return Ok(Self(name.to_owned())),
                // "127.1", "0x7f000001", "010.0.0.1": each program reads them in its own way.
                url::Host::Ipv4(address) => {
                    let message = format!("the host {text:?} is an unusual way to write {address}");
                    return Err(ValueError::new(message, format!("write {address}")));
                }
                url::Host::Ipv6(address) => return Ok(Self::address(address)),
            };
        if let Some(bad) = name.chars().find(|letter| !may_be_in_a_name(*letter)) {
            return Err(ValueError::new(format!("the host {text:?} has {bad:?} in it"), plain));
        }
        if name.len() > NAME || name.split('.').any(|label| label.is_empty() || label.len() > LABEL) {
            let message =
                format!("the host {text:?} has an empty part, one above {LABEL} characters, or more than {NAME}");
            return Err(ValueError::new(message, plain));
        }
        Ok(Self(name))
    }

    fn ipv6(text: &str) -> Result<Self, ValueError> {
        if text.contains('%') {
            let help = "write an address without a zone; link-local addresses do not work here";
            return Err(ValueError::new(format!("the host [{text}] has a zone"), help));
        }
        let parsed = text.parse().map(Self::address);
        parsed.map_err(|_| {
            ValueError::new(
                format!("the host {text:?} is no IPv6 address, and a name has no colon in it"),
                "write HOST:PORT, and an IPv6 address in brackets: [2001:db8::1]:1935",
            )
        })
    }

    fn address(address: Ipv6Addr) -> Self {
        Self(address.to_canonical().to_string())
    }

    /// As it is looked up and compared: without brackets.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The address, if it is one.
    pub fn ip(&self) -> Option<IpAddr> {
        self.0.parse().ok()
    }

    /// Whether it is this machine: nothing that is sent there crosses a network.
    pub fn is_loopback(&self) -> bool {
        self.0 == "localhost" || self.ip().is_some_and(|ip| ip.is_loopback())
    }

    /// As a URL has it: IPv6 in brackets.
    pub fn in_url(&self) -> String {
        match self.ip() {
            Some(IpAddr::V6(address)) => format!("[{address}]"),
            Some(IpAddr::V4(_)) | None => self.0.clone(),
        }
    }
}

/// As it is looked up, without brackets.
impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Letters, digits, `-`, and `_`, which names of containers have.
const fn may_be_in_a_name(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.')
}

/// A host, or `*.` and a domain for each host under it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostPattern {
    /// This one.
    Exact(Host),
    /// Each name under this one.
    Under(Host),
}

impl HostPattern {
    /// Normalises `text` as [`Host::parse`] does.
    ///
    /// # Errors
    /// What is wrong with it, and what would be right.
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        if text.contains("://") || text.contains(['/', '@']) {
            return Err(ValueError::new(format!("{text:?} is more than a host"), "write the host alone"));
        }
        match text.strip_prefix("*.") {
            None if text.contains('*') => {
                let help = "write \"push.example.cn\", or \"*.example.cn\" for each host under example.cn";
                Err(ValueError::new(format!("{text:?} has \"*\" where it means nothing"), help))
            }
            None => Host::parse(text).map(Self::Exact),
            Some(domain) => {
                let domain = Host::parse(domain)?;
                if domain.ip().is_some() {
                    return Err(ValueError::new(format!("there is nothing under {domain}"), "write each address out"));
                }
                Ok(Self::Under(domain))
            }
        }
    }

    /// Whether `host` is one of those.
    pub fn allows(&self, host: &Host) -> bool {
        match self {
            Self::Exact(known) => known == host,
            Self::Under(domain) => {
                let above = host.as_str().strip_suffix(domain.as_str()).and_then(|name| name.strip_suffix('.'));
                above.is_some_and(|name| !name.is_empty())
            }
        }
    }

    /// Whether each host that `other` allows is one of those.
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (_, Self::Exact(host)) => self.allows(host),
            (Self::Exact(_), Self::Under(_)) => false,
            (Self::Under(domain), Self::Under(inner)) => domain == inner || self.allows(inner),
        }
    }
}
