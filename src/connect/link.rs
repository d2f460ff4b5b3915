//! Over which kind of link packets leave for a server, and whether that link is metered. Only the kind is told: no
//! name, no address and no SSID leaves this file.

mod interface;
mod kind;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use crate::config::{Ingest, MeteredLinks};
use crate::ipc::LinkKind;

pub(crate) use interface::default_interfaces;

/// Destinations that show the route of an address family where no address of the server is known. Nothing is sent
/// there: they are addresses for documentation (RFC 5737 and RFC 3849).
pub(crate) const ROUTE_PROBES: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1))];

/// A link, as far as it may be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) kind: LinkKind,
    /// It is mobile, or an interface that the configuration calls metered.
    pub(crate) is_metered: bool,
}

/// The links of this machine, and which of them may carry the stream.
#[derive(Clone, Debug)]
pub(crate) struct Links {
    /// Where `/sys` and `/proc` are: `/`, but in tests.
    root: PathBuf,
    /// Interfaces that the configuration calls metered.
    metered_interfaces: Arc<[String]>,
    refuses_metered: bool,
}

impl Default for Links {
    /// All may be used.
    fn default() -> Self {
        Self { root: PathBuf::from("/"), metered_interfaces: Arc::default(), refuses_metered: false }
    }
}

impl Links {
    /// As `[ingest]` says.
    pub(crate) fn of_ingest(ingest: &Ingest) -> Self {
        Self {
            metered_interfaces: ingest.metered_interfaces.as_slice().into(),
            refuses_metered: ingest.metered_links == MeteredLinks::Refuse,
            ..Self::default()
        }
    }

    /// The same with the machine's files below `root`.
    #[must_use]
    pub(crate) fn below(self, root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), ..self }
    }

    /// The link by which packets leave for `server` now. Nothing is sent. `None`: there is no route, the kernel does
    /// not say which interface it is, or `server` is this machine itself.
    pub(crate) fn towards(&self, server: SocketAddr) -> Option<Link> {
        if server.ip().to_canonical().is_loopback() {
            return None;
        }
        interface::towards(&self.root, server).map(|name| self.of_interface(&name))
    }

    /// The link towards `server`, if the configuration does not let the stream take it.
    pub(crate) fn refused(&self, server: SocketAddr) -> Option<Link> {
        if !self.refuses_metered {
            return None;
        }
        self.towards(server).filter(|link| self.refuses(*link))
    }

    /// Whether the configuration does not let the stream take this link.
    pub(crate) fn refuses(&self, link: Link) -> bool {
        self.refuses_metered && link.is_metered
    }

    /// The link that is refused, where there is no other way to `host`; of a name each family's default route counts.
    /// Without any route nothing is refused: one may come.
    pub(crate) fn only_refused(&self, host: Option<IpAddr>) -> Option<Link> {
        if !self.refuses_metered {
            return None;
        }
        let probes = host.map_or_else(|| ROUTE_PROBES.to_vec(), |host| vec![host]);
        let links: Vec<Link> = probes.into_iter().filter_map(|ip| self.towards(SocketAddr::new(ip, 9))).collect();
        links.first().copied().filter(|_| links.iter().all(|link| self.refuses(*link)))
    }
}
