//! Which interface packets to a server leave by. The kernel tells it over netlink, which the sandbox of capture does
//! not have; without it a socket's own address tells, and for IPv4 the address of a socket that is bound to an
//! interface.

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::Path;

use nix::sys::socket::{setsockopt, sockopt};

use crate::connect::route::local_address;

/// The interface by which packets leave for `server`, below `root`'s `/proc` and `/sys`.
pub(super) fn towards(root: &Path, server: SocketAddr) -> Option<String> {
    let server = SocketAddr::new(server.ip().to_canonical(), server.port());
    let local = local_address(server).ok()?;
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap_or_default();
    if local.is_ipv6() {
        return interface_with(&read("proc/net/if_inet6"), local);
    }
    let leads_there = |name: &String| bound_address(name, server) == Some(local);
    // An interface without an address shows that of another one. Those that have routes have an address.
    let routed = interfaces_with_routes(&read("proc/net/route"));
    if let Some(name) = routed.iter().find(|name| leads_there(name)) {
        return Some(name.clone());
    }
    // Its routes are in another table, as those of a WireGuard interface.
    let unrouted = std::fs::read_dir(root.join("sys/class/net")).ok()?.flatten();
    let names = unrouted.filter_map(|entry| entry.file_name().into_string().ok());
    let mut candidates = names.filter(|name| name != "lo" && !routed.contains(name)).filter(leads_there);
    candidates.next().filter(|_| candidates.next().is_none())
}

/// The own address on the way to `server`, were it to leave by the interface `name`.
fn bound_address(name: &str, server: SocketAddr) -> Option<IpAddr> {
    let probe = UdpSocket::bind(("0.0.0.0", 0)).ok()?;
    // Needs no privilege for a socket that is not bound to one yet (Linux 5.7).
    setsockopt(&probe, sockopt::BindToDevice, &OsString::from(name)).ok()?;
    probe.connect(server).ok()?;
    probe.local_addr().ok().map(|at| at.ip())
}

/// The interface that has the IPv6 address `wanted`. `/proc/net/if_inet6`: address, index, prefix, scope, flags, name;
/// numbers are hexadecimal (the kernel's net/ipv6/addrconf.c).
fn interface_with(if_inet6: &str, wanted: IpAddr) -> Option<String> {
    if_inet6.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let address = u128::from_str_radix(fields.first()?, 16).ok()?;
        (IpAddr::V6(address.into()) == wanted).then(|| fields.last().map(|name| (*name).to_owned()))?
    })
}

/// A line of `/proc/net/route`: interface, destination, gateway, flags, reference count, use, metric, mask, ... Numbers
/// are hexadecimal but for the metric (proc(5)).
fn ipv4_routes(route: &str) -> impl Iterator<Item = Vec<&str>> {
    route.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>()).filter(|fields| fields.len() > 7)
}

fn interfaces_with_routes(route: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for fields in ipv4_routes(route) {
        if !names.iter().any(|name| name == fields[0]) {
            names.push(fields[0].to_owned());
        }
    }
    names
}

/// Interfaces of the default routes, the preferred one first: those of IPv4 before those of IPv6, in the order of their
/// metrics. `/proc/net/ipv6_route`: destination, its prefix, source, its prefix, next hop, metric, two counters, flags,
/// interface; numbers are hexadecimal (the kernel's net/ipv6/route.c).
pub(crate) fn default_interfaces(route: &str, ipv6_route: &str) -> Vec<String> {
    let is_default = |fields: &Vec<&str>| fields[1] == "00000000" && fields[7] == "00000000";
    let mut four: Vec<(u32, &str)> =
        ipv4_routes(route).filter(is_default).filter_map(|fields| Some((fields[6].parse().ok()?, fields[0]))).collect();
    let six = ipv6_route.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let is_default = |fields: &Vec<&str>| {
        fields.len() > 9 && fields[0].bytes().all(|digit| digit == b'0') && fields[1] == "00" && fields[9] != "lo"
    };
    let mut six: Vec<(u32, String)> = six
        .filter(is_default)
        .filter_map(|fields| Some((u32::from_str_radix(fields[5], 16).ok()?, fields[9].to_owned())))
        .collect();
    four.sort_by_key(|(metric, _)| *metric);
    six.sort_by_key(|(metric, _)| *metric);
    let mut names: Vec<String> = Vec::new();
    for name in four.into_iter().map(|(_, name)| name.to_owned()).chain(six.into_iter().map(|(_, name)| name)) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTE: &str = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
        wwan0\t00000000\t0102090A\t0003\t0\t0\t700\t00000000\t0\t0\t0\n\
        eth0\t00000000\t0101090A\t0003\t0\t0\t100\t00000000\t0\t0\t0\n\
        tun0\t00000000\t0101090A\t0003\t0\t0\t50\t00000080\t0\t0\t0\n\
        eth0\t0001090A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n";
    const IPV6_ROUTE: &str = "\
        20010db8000100000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 \
        00000100 00000002 00000000 00000001    eth0\n\
        00000000000000000000000000000000 00 00000000000000000000000000000000 00 20010db8000200000000000000000001 \
        000002bc 00000002 00000000 00000003   wwan0\n\
        00000000000000000000000000000000 00 00000000000000000000000000000000 00 20010db8000100000000000000000001 \
        00000064 00000002 00000000 00000003    eth1\n\
        00000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 \
        ffffffff 00000001 00000000 00200200       lo\n";

    #[test]
    fn default_routes_come_in_the_order_in_which_the_kernel_prefers_them() {
        assert_eq!(default_interfaces(ROUTE, ""), ["eth0", "wwan0"]);
        assert_eq!(default_interfaces("", IPV6_ROUTE), ["eth1", "wwan0"]);
        assert_eq!(default_interfaces(ROUTE, IPV6_ROUTE), ["eth0", "wwan0", "eth1"]);
        assert!(default_interfaces("", "").is_empty());
        assert!(default_interfaces("Iface\neth0\t00000000\n", "00000000 00\n").is_empty(), "cut lines");
    }

    #[test]
    fn interfaces_are_found_by_their_routes_and_ipv6_addresses() {
        assert_eq!(interfaces_with_routes(ROUTE), ["wwan0", "eth0", "tun0"]);
        let if_inet6 = "20010db8000200000000000000000002 05 40 00 82   wwan0\n\
                        20010db8000100000000000000000002 03 40 00 82    eth0\nnonsense\n";
        let found = |address: &str| interface_with(if_inet6, address.parse().unwrap());
        assert_eq!(found("2001:db8:1::2").as_deref(), Some("eth0"));
        assert_eq!(found("2001:db8:2::2").as_deref(), Some("wwan0"));
        assert_eq!(found("2001:db8:3::2"), None);
    }
}
