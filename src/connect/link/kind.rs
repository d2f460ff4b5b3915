//! What the kernel tells of an interface in sysfs: which kind of link it is, or what lies beneath it.

use std::path::Path;

use super::interface::default_interfaces;
use super::{Link, Links};
use crate::ipc::LinkKind;

/// Interfaces above one another that are looked through: a VLAN on a bridge on a bond has three.
const MAX_DEPTH: usize = 5;

/// Drivers of phones that share their connection over USB.
const TETHERING: [&str; 2] = ["rndis_host", "ipheth"];
/// Drivers of phones and of network adapters alike. The kernel takes those with an address of their own making for a
/// link to another computer (`usb0` in place of `eth0`: `usbnet_probe` in the kernel's drivers/net/usb/usbnet.c).
const USB_NETWORK: [&str; 4] = ["cdc_ether", "cdc_ncm", "cdc_eem", "cdc_subset"];

/// What an interface is by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Interface {
    Link(LinkKind),
    /// PPP: over Ethernet, or of a modem.
    Ppp,
    /// Its packets leave by another interface, inside of others.
    Tunnel,
}

impl Links {
    /// The link that the interface `name` is, or that carries what it sends.
    pub(crate) fn of_interface(&self, name: &str) -> Link {
        let Link { kind, is_metered } = self.beneath(name, MAX_DEPTH);
        Link { kind, is_metered: is_metered || self.is_named_metered(name) }
    }

    fn beneath(&self, name: &str, depth: usize) -> Link {
        let of_kind = |kind| Link { kind, is_metered: kind == LinkKind::Mobile || self.is_named_metered(name) };
        let Some(depth) = depth.checked_sub(1) else { return of_kind(LinkKind::Other) };
        if let Some(lower) = self.dearest(&self.lower(name), depth) {
            return Link { is_metered: lower.is_metered || self.is_named_metered(name), ..lower };
        }
        match self.interface(name) {
            Interface::Link(kind) => of_kind(kind),
            Interface::Ppp => match self.dearest(&self.beneath_pppoe(), depth) {
                Some(carrier) => carrier,
                None => of_kind(LinkKind::Mobile),
            },
            Interface::Tunnel => self.beneath_tunnels(depth).unwrap_or_else(|| of_kind(LinkKind::Other)),
        }
    }

    /// Of several links that may carry the same packets, one that is metered if any is.
    fn dearest(&self, names: &[String], depth: usize) -> Option<Link> {
        let links: Vec<Link> = names.iter().map(|name| self.beneath(name, depth)).collect();
        links.iter().find(|link| link.is_metered).or(links.first()).copied()
    }

    fn is_named_metered(&self, name: &str) -> bool {
        self.metered_interfaces.iter().any(|metered| metered == name)
    }

    /// What the interfaces of a bridge, bond, VLAN or macvlan are on top of; of a bond only the one that is in use.
    fn lower(&self, name: &str) -> Vec<String> {
        let active = self.read(name, "bonding/active_slave").filter(|active| !active.is_empty());
        if let Some(active) = active {
            return vec![active];
        }
        let entries = std::fs::read_dir(self.class(name)).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let mut lower: Vec<String> =
            names.filter_map(|entry| entry.strip_prefix("lower_").map(str::to_owned)).collect();
        lower.sort_unstable();
        lower
    }

    /// Interfaces that PPP over Ethernet runs over. `/proc/net/pppoe`: id, address, device, below a line of titles.
    fn beneath_pppoe(&self) -> Vec<String> {
        let sessions = std::fs::read_to_string(self.root.join("proc/net/pppoe")).unwrap_or_default();
        sessions.lines().skip(1).filter_map(|line| line.split_whitespace().nth(2).map(str::to_owned)).collect()
    }

    /// What carries tunnels: the best default route that is none itself. Where no route says so, any link that is up
    /// may.
    fn beneath_tunnels(&self, depth: usize) -> Option<Link> {
        let read = |path: &str| std::fs::read_to_string(self.root.join(path)).unwrap_or_default();
        let is_link = |name: &String| self.interface(name) != Interface::Tunnel;
        let routes = default_interfaces(&read("proc/net/route"), &read("proc/net/ipv6_route"));
        if let Some(name) = routes.into_iter().find(is_link) {
            return Some(self.beneath(&name, depth));
        }
        let entries = std::fs::read_dir(self.root.join("sys/class/net")).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let is_up = |name: &String| name != "lo" && self.read(name, "operstate").is_some_and(|state| state != "down");
        let candidates: Vec<String> = names.filter(is_up).filter(is_link).collect();
        self.dearest(&candidates, depth)
    }

    /// From `DEVTYPE`, the device's type (`include/uapi/linux/if_arp.h`), and its driver.
    fn interface(&self, name: &str) -> Interface {
        let uevent = self.read(name, "uevent").unwrap_or_default();
        match uevent.lines().find_map(|line| line.strip_prefix("DEVTYPE=")).unwrap_or_default() {
            // A modem, or a phone over Bluetooth (BNEP).
            "wwan" | "bluetooth" => return Interface::Link(LinkKind::Mobile),
            "wlan" => return Interface::Link(LinkKind::Wifi),
            "wireguard" => return Interface::Tunnel,
            _ => {}
        }
        match self.read(name, "type").and_then(|number| number.parse::<u32>().ok()) {
            // ARPHRD_ETHER
            Some(1) => self.ethernet(name),
            // ARPHRD_PPP
            Some(512) => Interface::Ppp,
            // ARPHRD_RAWIP: modems that take packets without a header.
            Some(519) => Interface::Link(LinkKind::Mobile),
            // ARPHRD_TUNNEL, TUNNEL6, SIT, IPGRE, IP6GRE, NONE
            Some(768 | 769 | 776 | 778 | 823 | 0xfffe) => Interface::Tunnel,
            Some(_) | None => Interface::Link(LinkKind::Other),
        }
    }

    /// What is behind an interface that has Ethernet's frames.
    fn ethernet(&self, name: &str) -> Interface {
        let has = |file: &str| self.class(name).join(file).exists();
        // `tap`
        if has("tun_flags") {
            return Interface::Tunnel;
        }
        Interface::Link(if has("wireless") || has("phy80211") {
            LinkKind::Wifi
        } else if self.is_tethering(name) {
            LinkKind::Mobile
        } else {
            LinkKind::Ethernet
        })
    }

    /// Whether a phone shares its connection over USB.
    fn is_tethering(&self, name: &str) -> bool {
        let link = std::fs::read_link(self.class(name).join("device/driver"));
        let driver = link.ok().and_then(|path| path.file_name()?.to_str().map(str::to_owned)).unwrap_or_default();
        let is_own = || self.read(name, "address").is_some_and(|address| is_locally_administered(&address));
        TETHERING.contains(&driver.as_str()) || (USB_NETWORK.contains(&driver.as_str()) && is_own())
    }

    fn class(&self, name: &str) -> std::path::PathBuf {
        self.root.join("sys/class/net").join(Path::new(name).file_name().unwrap_or_default())
    }

    fn read(&self, name: &str, file: &str) -> Option<String> {
        std::fs::read_to_string(self.class(name).join(file)).ok().map(|text| text.trim().to_owned())
    }
}

/// Whether an Ethernet address was not given by a manufacturer (IEEE 802: the second bit of the first byte).
fn is_locally_administered(address: &str) -> bool {
    address.get(..2).and_then(|first| u8::from_str_radix(first, 16).ok()).is_some_and(|first| first & 2 != 0)
}

#[cfg(test)]
mod tests;
