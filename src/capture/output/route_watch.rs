//! Notices that packets to a server take another way than when its connection was made: the cable was pulled, and a
//! mobile router takes over, or the other way round. Nothing else tells: TCP goes on to send from an address that the
//! box may not even have any more, and a server that hears nothing says nothing.

use std::net::SocketAddr;
use std::time::Duration;

use crate::connect::Route;
use monotonic::Monotonic;

/// Between two looks at the route. Two in a row have to find the same change: a network that comes up is set up in
/// steps.
const INTERVAL: Duration = Duration::from_millis(250);

/// The way to the server of one connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct RouteWatch {
    server: SocketAddr,
    first: Route,
    changed_to: Option<Route>,
    next_look: Monotonic,
}

impl RouteWatch {
    /// For a connection to `server` that was just made; `None`: the kernel does not say which way it is.
    pub(super) fn begin(server: SocketAddr, now: Monotonic) -> Option<Self> {
        let first = Route::towards(server).ok()?;
        Some(Self { server, first, changed_to: None, next_look: now.saturating_add(INTERVAL) })
    }

    /// Whether packets take another way now. As long as there is none at all, the old one may come back.
    pub(super) fn has_changed(&mut self, now: Monotonic) -> bool {
        if now < self.next_look {
            return false;
        }
        self.next_look = now.saturating_add(INTERVAL);
        let present = Route::towards(self.server).ok().filter(|route| *route != self.first);
        let was = std::mem::replace(&mut self.changed_to, present);
        present.is_some() && present == was
    }
}
