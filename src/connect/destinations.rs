//! Where a part of the box may connect to: hosts by the names that the configuration has, and then each address that
//! such a name turns out to have. What is refused is kept for whoever writes the ledger.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{Link, Links, Unreachable, connect_any, resolve};
use crate::clock::Clock;
use crate::config::{Config, Host, HostPattern, Mqtt, Outside, Residency};
use crate::sync::LockExt;
use monotonic::Monotonic;

/// Refusals that wait to be told; more are not kept.
const MAX_WAITING: usize = 16;
/// Refusals that were told and are not told again for [`TOLD_FOR`].
const MAX_TOLD: usize = 64;
/// After this long the same refusal is told again: it still happens.
const TOLD_FOR: Duration = Duration::from_hours(1);
/// Addresses of allowed names that are remembered for media.
const MAX_KNOWN: usize = 256;

const NOT_NAMED: &str = "the configuration does not name this host";

/// A connection that was not made.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RefusedDestination {
    /// The host as it was named, or the address where nobody named one.
    pub(crate) host: String,
    /// Why.
    pub(crate) why: String,
}

/// Refusals until somebody takes them, each once an hour.
#[derive(Clone, Debug)]
pub(crate) struct Refusals(Arc<Mutex<RefusalLog>>);

#[derive(Debug)]
struct RefusalLog {
    clock: Clock,
    waiting: Vec<RefusedDestination>,
    told: Vec<(RefusedDestination, Monotonic)>,
}

impl Default for Refusals {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(RefusalLog { clock: Clock::start(), waiting: Vec::new(), told: Vec::new() })))
    }
}

impl Refusals {
    /// Keeps one, unless it was told lately.
    pub(crate) fn note(&self, host: &str, why: impl Into<String>) {
        let refused = RefusedDestination { host: host.to_owned(), why: why.into() };
        let mut log = self.0.lock_unpoisoned();
        let now = log.clock.now();
        log.told.retain(|(_, at)| now.duration_since(*at) < TOLD_FOR);
        if log.told.iter().any(|(told, _)| *told == refused)
            || log.waiting.len() >= MAX_WAITING
            || log.told.len() >= MAX_TOLD
        {
            return;
        }
        tracing::warn!("no connection to {}: {}", refused.host, refused.why);
        log.told.push((refused.clone(), now));
        log.waiting.push(refused);
    }

    /// What has to be told, once.
    pub(crate) fn take(&self) -> Vec<RefusedDestination> {
        std::mem::take(&mut self.0.lock_unpoisoned().waiting)
    }
}

/// Hosts and addresses that may be connected to.
#[derive(Clone, Debug)]
pub(crate) struct Destinations {
    hosts: Arc<[HostPattern]>,
    residency: Residency,
    refusals: Refusals,
    /// Addresses that allowed names were found to have: media may go there, and nowhere else.
    known: Arc<Mutex<BTreeSet<IpAddr>>>,
    links: Links,
    /// The link that the last lookup found refused; `None`: it found another one.
    refused_link: Arc<Mutex<Option<Link>>>,
}

impl Destinations {
    /// These hosts, at addresses that `residency` allows.
    pub(crate) fn new(hosts: impl Into<Arc<[HostPattern]>>, residency: &Residency, refusals: Refusals) -> Self {
        Self {
            hosts: hosts.into(),
            residency: residency.clone(),
            refusals,
            known: Arc::default(),
            links: Links::default(),
            refused_link: Arc::default(),
        }
    }

    /// This host alone.
    pub(crate) fn only(host: &Host, residency: &Residency, refusals: Refusals) -> Self {
        Self::new([HostPattern::Exact(host.clone())], residency, refusals)
    }

    /// Where streams may go.
    pub(crate) fn of_ingest(config: &Config) -> Self {
        let hosts = config.privacy.allowed_ingest_hosts.as_slice();
        let links = Links::of_ingest(&config.ingest);
        Self { links, ..Self::new(hosts, &config.residency, Refusals::default()) }
    }

    /// The broker.
    pub(crate) fn of_broker(config: &Config, mqtt: &Mqtt, refusals: Refusals) -> Self {
        Self::only(&mqtt.host, &config.residency, refusals)
    }

    /// The links by which they are reached.
    pub(crate) fn links(&self) -> &Links {
        &self.links
    }

    /// The metered link because of which no connection is made at present.
    pub(crate) fn refused_link(&self) -> Option<Link> {
        *self.refused_link.lock_unpoisoned()
    }

    /// What was refused.
    pub(crate) fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    /// Whether the configuration names `host`. One that it does not name is a refusal.
    pub(crate) fn allows_host(&self, host: &Host) -> bool {
        let allowed = self.hosts.iter().any(|pattern| pattern.allows(host));
        if !allowed {
            self.refusals.note(host.as_str(), NOT_NAMED);
        }
        allowed
    }

    /// Connects to `port` of `host`, a name or an address (IPv6 with or without brackets), within `patience`, the
    /// lookup included. `stopped` is asked some 20 times a second; once it says so, the attempt ends.
    ///
    /// The stream blocks and has the kernel's settings otherwise.
    pub(crate) fn connect(
        &self,
        host: &str,
        port: u16,
        patience: Duration,
        stopped: &dyn Fn() -> bool,
    ) -> Result<TcpStream, Unreachable> {
        let clock = Clock::start();
        let addresses = self.resolve(host, port, patience, stopped)?;
        connect_any(&addresses, patience.saturating_sub(clock.now().duration_since(Monotonic::default())), stopped)
    }

    /// The addresses of `host` that may be connected to, in the order in which they are to be tried, at least one. A
    /// host that the configuration does not name is not even looked up.
    pub(crate) fn resolve(
        &self,
        host: &str,
        port: u16,
        patience: Duration,
        stopped: &dyn Fn() -> bool,
    ) -> Result<Vec<SocketAddr>, Unreachable> {
        let named = Host::parse(host).map_err(|_| Unreachable::NotAllowed)?;
        if !self.allows_host(&named) {
            return Err(Unreachable::NotAllowed);
        }
        let found = resolve(host, port, patience, stopped)?;
        let inside: Vec<_> = found.into_iter().filter(|at| self.allows_address(named.as_str(), at.ip())).collect();
        if inside.is_empty() {
            return Err(Unreachable::Outside);
        }
        let inside = self.over_other_links(inside)?;
        let mut known = self.known.lock_unpoisoned();
        if known.len() + inside.len() > MAX_KNOWN {
            known.clear();
        }
        known.extend(inside.iter().map(|at| at.ip().to_canonical()));
        Ok(inside)
    }

    /// Those of `addresses` to which packets do not leave by a link that is refused.
    fn over_other_links(&self, addresses: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, Unreachable> {
        let mut refused = None;
        let mut others = Vec::new();
        for address in addresses {
            match self.links.refused(address) {
                Some(link) => refused = Some(link),
                None => others.push(address),
            }
        }
        *self.refused_link.lock_unpoisoned() = refused.filter(|_| others.is_empty());
        if others.is_empty() { Err(Unreachable::Metered) } else { Ok(others) }
    }

    /// The first of `addresses`, which [`Destinations::resolve`] gave, that accepts within `patience`.
    pub(crate) fn connect_any(
        &self,
        addresses: &[SocketAddr],
        patience: Duration,
        stopped: &dyn Fn() -> bool,
    ) -> Result<TcpStream, Unreachable> {
        let known = self.known.lock_unpoisoned().clone();
        let inside: Vec<_> = addresses.iter().copied().filter(|at| known.contains(&at.ip().to_canonical())).collect();
        if inside.is_empty() {
            return Err(Unreachable::Outside);
        }
        connect_any(&inside, patience, stopped)
    }

    /// Whether media may be sent to `address`, which a server's answer named: this machine, an address that an allowed
    /// name has, or one in the allowed ranges.
    pub(super) fn allows_media(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        if address.is_loopback() || self.known.lock_unpoisoned().contains(&address) {
            return true;
        }
        if !self.residency.allowed_addresses.is_empty() {
            return self.allows_address(&address.to_string(), address);
        }
        let why = "the server wants media sent to an address that it does not have itself: if that is right, list it \
                   in [residency] allowed-addresses";
        self.refusals.note(&address.to_string(), why);
        false
    }

    /// Whether addresses of the same family as `one` are among the allowed ranges.
    pub(crate) fn lists_family_of(&self, one: IpAddr) -> bool {
        self.residency.allowed_addresses.iter().any(|range| range.is_ipv6() == one.is_ipv6())
    }

    /// Whether `address` of `host` lies in the allowed ranges, or may lie elsewhere. What is sent to this machine
    /// itself crosses no network.
    fn allows_address(&self, host: &str, address: IpAddr) -> bool {
        let Residency { allowed_addresses, outside } = &self.residency;
        let is_inside = allowed_addresses.is_empty()
            || address.to_canonical().is_loopback()
            || allowed_addresses.iter().any(|range| range.contains(address));
        if is_inside {
            return true;
        }
        match outside {
            Outside::Refuse => {
                let why = format!("its address {address} lies outside of [residency] allowed-addresses");
                self.refusals.note(host, why);
                false
            }
            Outside::Report => {
                let why = format!("connected all the same ([residency] outside = \"report\"): {address} lies outside");
                self.refusals.note(host, why);
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::config::AddressRange;

    const LONG: Duration = Duration::from_secs(20);

    fn destinations(hosts: &[&str], ranges: &[&str], outside: Outside) -> Destinations {
        let hosts: Vec<_> = hosts.iter().map(|host| HostPattern::parse(host).unwrap()).collect();
        let allowed_addresses = ranges.iter().map(|range| AddressRange::parse(range).unwrap()).collect();
        Destinations::new(hosts, &Residency { allowed_addresses, outside }, Refusals::default())
    }

    fn resolved(from: &Destinations, host: &str) -> Result<Vec<SocketAddr>, Unreachable> {
        from.resolve(host, 9, LONG, &|| false)
    }

    #[test]
    fn a_host_that_is_not_named_is_not_looked_up_and_is_told_once() {
        let ours = destinations(&["push.example.cn", "*.edge.example.cn"], &[], Outside::Refuse);
        for host in ["localhost", "127.0.0.1", "edge.example.cn", "push.example.cn.attacker.invalid", "a b", "[::1]"] {
            for _ in 0..3 {
                assert_eq!(resolved(&ours, host).unwrap_err(), Unreachable::NotAllowed, "{host}");
            }
        }
        let told: Vec<_> = ours.refusals().take().into_iter().map(|refused| refused.host).collect();
        assert_eq!(told, ["localhost", "127.0.0.1", "edge.example.cn", "push.example.cn.attacker.invalid", "::1"]);
        assert!(ours.refusals().take().is_empty());
    }

    /// What a name server answers is no permission. (Addresses of the documentation's networks stand for its answers.)
    #[test]
    fn an_address_outside_of_the_ranges_is_refused_or_told() {
        let ours = destinations(&["203.0.113.9", "198.51.100.9", "2001:db8::9"], &["198.51.100.0/24"], Outside::Refuse);
        assert_eq!(resolved(&ours, "203.0.113.9").unwrap_err(), Unreachable::Outside);
        assert_eq!(resolved(&ours, "[2001:db8::9]").unwrap_err(), Unreachable::Outside);
        assert_eq!(resolved(&ours, "198.51.100.9").unwrap(), [SocketAddr::from(([198, 51, 100, 9], 9))]);
        let refused = ours.refusals().take();
        assert_eq!(refused.len(), 2, "{refused:?}");
        assert!(refused[0].why.contains("203.0.113.9 lies outside of [residency] allowed-addresses"), "{refused:?}");

        let ours = destinations(&["203.0.113.9"], &["198.51.100.0/24"], Outside::Report);
        assert!(resolved(&ours, "203.0.113.9").is_ok());
        assert!(ours.refusals().take()[0].why.contains("connected all the same"));
    }

    #[test]
    fn only_addresses_that_were_looked_up_are_connected_to() {
        let server = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let at = server.local_addr().unwrap();
        let ours = destinations(&["127.0.0.1"], &[], Outside::Refuse);
        assert_eq!(ours.connect_any(&[at], LONG, &|| false).unwrap_err(), Unreachable::Outside);
        ours.connect("127.0.0.1", at.port(), LONG, &|| false).unwrap();
        ours.connect_any(&[at], LONG, &|| false).unwrap();
    }

    #[test]
    fn media_goes_to_the_servers_own_addresses_or_into_the_ranges() {
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let ours = destinations(&["198.51.100.9"], &[], Outside::Refuse);
        assert!(!ours.allows_media(address("198.51.100.9")), "nobody looked it up");
        resolved(&ours, "198.51.100.9").unwrap();
        assert!(ours.allows_media(address("::ffff:198.51.100.9")) && ours.allows_media(address("127.0.0.1")));
        assert!(!ours.allows_media(address("198.51.100.10")));
        let told: Vec<_> = ours.refusals().take().into_iter().map(|refused| refused.host).collect();
        assert_eq!(told, ["198.51.100.9", "198.51.100.10"]);

        let ours = destinations(&["198.51.100.9"], &["203.0.113.0/24"], Outside::Refuse);
        assert!(ours.allows_media(address("203.0.113.77")) && !ours.allows_media(address("198.51.100.10")));
    }

    #[test]
    fn refusals_are_bounded() {
        let refusals = Refusals::default();
        for number in 0..1000 {
            refusals.note(&format!("host-{number}"), "x");
        }
        assert_eq!(refusals.take().len(), MAX_WAITING);
    }
}
