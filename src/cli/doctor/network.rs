//! The way out: default route, MTU, name servers.

use super::host::HostFiles;
use super::{CheckResult, fail, ok, warn};
use crate::config::{Config, Host};
use crate::connect::{Links, default_interfaces};

/// `reached`: the servers were asked, and answered.
pub(super) fn rows(machine: &HostFiles, config: &Config, reached: bool) -> Vec<CheckResult> {
    vec![route(machine, config, reached), names(machine, config, reached)]
}

fn hosts(config: &Config) -> impl Iterator<Item = &Host> {
    config.ingest.destinations().map(|to| &to.host).chain(config.mqtt.iter().map(|mqtt| &mqtt.host))
}

/// Interface of the default route that the kernel prefers.
fn default_interface(machine: &HostFiles) -> Option<String> {
    let read = |path: &str| machine.read(path).unwrap_or_default();
    default_interfaces(&read("/proc/net/route"), &read("/proc/net/ipv6_route")).into_iter().next()
}

/// What Ethernet carries; a server's answers come in such packets unless something on the way says no.
const ETHERNET: u32 = 1500;

fn route(machine: &HostFiles, config: &Config, reached: bool) -> CheckResult {
    let Some(name) = default_interface(machine) else {
        if reached || hosts(config).all(Host::is_loopback) {
            return ok("network", "no default route, and none is needed");
        }
        return fail("network", "no default route", "plug in the cable, or join the wireless network; see ip route");
    };
    let read = |file: &str| machine.read(&format!("/sys/class/net/{name}/{file}"));
    let links = Links::of_ingest(&config.ingest).below(machine.path("/"));
    let link = links.of_interface(&name);
    if links.refuses(link) {
        return warn(
            "network",
            format!("{name} is a metered link ({}), which [ingest] metered-links refuses", link.kind.as_str()),
            "connect the cable or Wi-Fi: the stream waits for another link",
        );
    }
    let mtu = read("mtu").and_then(|mtu| mtu.parse::<u32>().ok());
    // Absent for anything that is not Ethernet.
    let half = if read("duplex").as_deref() == Some("half") { ", half duplex" } else { "" };
    match mtu {
        Some(mtu) if mtu < ETHERNET => warn(
            "network",
            format!("{name}, MTU {mtu}{half}"),
            "a tunnel or PPPoE: if streams stall after the handshake, some router on the way drops what is too long; lower the MTU here until they do not",
        ),
        Some(mtu) if mtu > ETHERNET => warn(
            "network",
            format!("{name}, MTU {mtu}{half}"),
            "each switch up to the router has to take frames that long: set the MTU to 1500 if streams stall",
        ),
        Some(mtu) if !half.is_empty() => {
            warn("network", format!("{name}, MTU {mtu}{half}"), "see cable and switch: both ends have to negotiate")
        }
        Some(mtu) => ok("network", format!("{name}, MTU {mtu}")),
        None => ok("network", name),
    }
}

fn names(machine: &HostFiles, config: &Config, reached: bool) -> CheckResult {
    let text = machine.read("/etc/resolv.conf").unwrap_or_default();
    let servers: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("nameserver")).map(str::trim).collect();
    if hosts(config).all(|host| host.is_loopback() || host.ip().is_some()) {
        return ok("dns", "no name has to be looked up");
    }
    if servers.is_empty() && reached {
        return ok("dns", "no name server, and none is needed");
    }
    if servers.is_empty() {
        let advice = "DHCP or the integrator has to name one; see resolvectl, or nmcli";
        return fail("dns", "no name server in /etc/resolv.conf", advice);
    }
    ok("dns", servers.join(", "))
}
