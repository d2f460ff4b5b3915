//! Ranges of IP addresses, as `[residency] allowed-addresses` lists them.

use core::fmt;
use core::net::IpAddr;

use super::ValueError;

/// A network in CIDR form (RFC 4632, RFC 4291), or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressRange {
    network: IpAddr,
    prefix: u8,
}

const HELP: &str = "write a network such as \"203.0.113.0/24\" or \"2001:db8::/32\", or one address";

impl AddressRange {
    /// Reads `10.0.0.0/8`, `2001:db8::/32` or one address.
    ///
    /// # Errors
    /// What is wrong with it, and what would be right.
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        let wrong = |what: &str| ValueError::new(format!("{text:?} {what}"), HELP);
        let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let network: IpAddr = address.parse().map_err(|_| wrong("is no range of IP addresses"))?;
        if network.to_canonical() != network {
            return Err(wrong("is IPv4 written as IPv6"));
        }
        let longest = if network.is_ipv4() { 32 } else { 128 };
        let is_number = |prefix: &&str| prefix.len() <= 3 && prefix.bytes().all(|digit| digit.is_ascii_digit());
        let prefix = match prefix {
            None => longest,
            Some(prefix) => Some(prefix)
                .filter(is_number)
                .and_then(|prefix| prefix.parse().ok())
                .filter(|prefix| *prefix <= longest)
                .ok_or_else(|| wrong("has a length that no network has"))?,
        };
        let range = Self { network, prefix };
        if range.masked(network) != bits(network) {
            return Err(wrong("has bits behind its length: it is no network"));
        }
        Ok(range)
    }

    /// Which family its addresses are of.
    pub(crate) fn is_ipv6(&self) -> bool {
        self.network.is_ipv6()
    }

    /// Whether `address` lies in it. IPv4 within IPv6 counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.network.is_ipv4() && self.masked(address) == bits(self.network)
    }

    fn masked(&self, address: IpAddr) -> u128 {
        let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix)).unwrap_or(0);
        bits(address) & mask
    }
}

/// The address's bits, from the highest on.
fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)) << 96,
        IpAddr::V6(address) => u128::from(address),
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_holds_what_is_in_it_and_nothing_beside_it() {
        for (range, inside, outside) in [
            ("10.0.0.0/8", ["10.0.0.0", "10.255.255.255"], ["9.255.255.255", "11.0.0.0"]),
            ("203.0.113.7", ["203.0.113.7", "::ffff:203.0.113.7"], ["203.0.113.6", "203.0.113.8"]),
            ("0.0.0.0/0", ["1.2.3.4", "255.255.255.255"], ["::1", "2001:db8::1"]),
            ("2001:db8::/33", ["2001:db8::", "2001:db8:7fff::1"], ["2001:db8:8000::", "10.0.0.1"]),
            ("::/0", ["::1", "ffff::"], ["10.0.0.1", "::ffff:10.0.0.1"]),
        ] {
            let range = AddressRange::parse(range).unwrap();
            assert!(inside.iter().all(|address| range.contains(address.parse().unwrap())), "{range}");
            assert!(!outside.iter().any(|address| range.contains(address.parse().unwrap())), "{range}");
        }
    }

    #[test]
    fn what_is_no_range_is_refused_with_advice() {
        for (text, what) in [
            ("", "is no range"),
            ("example.cn", "is no range"),
            ("10.0.0.0/33", "a length"),
            ("10.0.0.0/+8", "a length"),
            ("10.0.0.0/", "a length"),
            ("2001:db8::/129", "a length"),
            ("10.0.0.1/8", "bits behind"),
            ("::ffff:10.0.0.0/104", "IPv4 written as IPv6"),
        ] {
            let ValueError { message, help } = AddressRange::parse(text).unwrap_err();
            assert!(message.contains(what) && help.contains("203.0.113.0/24"), "{text}: {message}");
        }
    }
}
