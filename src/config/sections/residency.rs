//! Where the box may connect to, by address: `[residency]`.

use crate::config::reader::Reader;
use crate::config::{AddressRange, Residency, ValueError};

/// More than any operator's networks; each is looked at for each address.
const RANGES: usize = 256;

pub(super) fn residency(reader: &mut Reader<'_>) -> Residency {
    let mut allowed_addresses = Vec::new();
    let listed = reader.list("residency", "allowed-addresses");
    let is_listed = listed.is_some();
    for (text, place) in listed.unwrap_or_default() {
        match AddressRange::parse(&text) {
            Ok(_) if allowed_addresses.len() == RANGES => {
                let message = format!("allowed-addresses has more than {RANGES} ranges");
                reader.error(Some(place), message, "put neighbouring ranges together");
                break;
            }
            Ok(range) => allowed_addresses.push(range),
            Err(ValueError { message, help }) => reader.error(Some(place), message, help),
        }
    }
    let outside = reader.choice("residency", "outside");
    let place = reader.place("residency", "allowed-addresses");
    if is_listed && allowed_addresses.is_empty() && place.is_some() {
        let help = "list the servers' networks, or leave the key out: then names alone decide";
        reader.error(place, "allowed-addresses is empty: no server could be reached", help);
    }
    if let Some(place) = reader.place("residency", "outside").filter(|_| !is_listed) {
        let help = "list the networks in which the servers stand: allowed-addresses = [\"203.0.113.0/24\"]";
        reader.error(Some(place), "outside says nothing without allowed-addresses", help);
    }
    Residency { allowed_addresses, outside }
}
