//! Notices that packets to a server take another way than when its connection was made: the cable was pulled, and a
//! mobile router takes over, or the other way round. Nothing else tells: TCP goes on to send from an address that the
//! box may not even have any more, and a server that hears nothing says nothing.

use std::net::SocketAddr;
use std::time::Duration;

use crate::connect::{Link, Links, Route};
use monotonic::Monotonic;

/// Between two looks at the route. Two in a row have to find the same change: a network that comes up is set up in
/// steps.
const INTERVAL: Duration = Duration::from_millis(250);
/// Looks at the route for each look at the link beneath it, which costs more. A tunnel keeps its route when what
/// carries it becomes another one.
const LOOKS_PER_LINK: u32 = 4;

/// Why a connection has to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RouteChange {
    /// Packets take another way.
    Moved,
    /// They leave by a metered link now, which is refused.
    Metered,
}

/// The way to the server of one connection.
#[derive(Clone, Debug)]
pub(super) struct RouteWatch {
    server: SocketAddr,
    first: Route,
    changed_to: Option<Route>,
    links: Links,
    link: Option<Link>,
    /// The last look at the link found it refused.
    was_refused: bool,
    looks: u32,
    next_look: Monotonic,
}

impl RouteWatch {
    /// For a connection to `server` that was just made; `None`: the kernel does not say which way it is.
    pub(super) fn begin(server: SocketAddr, links: &Links, now: Monotonic) -> Option<Self> {
        let first = Route::towards(server).ok()?;
        Some(Self {
            server,
            first,
            changed_to: None,
            links: links.clone(),
            link: links.towards(server),
            was_refused: false,
            looks: 0,
            next_look: now.saturating_add(INTERVAL),
        })
    }

    /// The link that carries the connection.
    pub(super) fn link(&self) -> Option<Link> {
        self.link
    }

    /// Whether packets take another way now, or one that is refused. As long as there is none at all, the old one may
    /// come back.
    pub(super) fn look(&mut self, now: Monotonic) -> Option<RouteChange> {
        if now < self.next_look {
            return None;
        }
        self.next_look = now.saturating_add(INTERVAL);
        let present = Route::towards(self.server).ok().filter(|route| *route != self.first);
        let before = std::mem::replace(&mut self.changed_to, present);
        if present.is_some() && present == before {
            return Some(RouteChange::Moved);
        }
        self.looks += 1;
        // Once it looks refused, the next look comes soon.
        if present.is_none() && (self.was_refused || self.looks >= LOOKS_PER_LINK) {
            self.looks = 0;
            return self.look_at_link();
        }
        None
    }

    fn look_at_link(&mut self) -> Option<RouteChange> {
        // Without a route the old link may come back.
        self.link = self.links.towards(self.server).or(self.link);
        let is_refused = self.link.is_some_and(|link| self.links.refuses(link));
        let was_refused = std::mem::replace(&mut self.was_refused, is_refused);
        (is_refused && was_refused).then_some(RouteChange::Metered)
    }
}
