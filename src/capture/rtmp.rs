//! RTMP and RTMPS: FLV tags that go straight into the sink, and what the kernel says of their way.

use std::cell::Cell;
use std::time::Duration;

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;

use super::failure::{Failure, Trouble};
use super::flv::Flv;
use super::line::{Line, Pipe, Target, Way, source};
use super::plugins::make;
use super::queue::Frame;
use super::tcp::Socket;
use crate::clock::Clock;
use crate::config::{self, Secret};
use crate::consent::Time;

/// What has been acknowledged is looked up after this at the latest, once the stream is on air.
const LOOK: Duration = Duration::from_millis(250);
/// Bytes of an FLV tag that RTMP does not send: its header, and its size behind it.
const TAG: u64 = 15;

/// One connection.
pub(super) struct Rtmp {
    pipe: Pipe,
    tags: gst_app::AppSrc,
    flv: Flv,
    port: u16,
    socket: Cell<Option<Socket>>,
    clock: Clock,
    on_air: bool,
    first: Option<First>,
    /// When the kernel was last asked, and how far the stream had come.
    arrived: Cell<(Time, u64)>,
}

/// The first frame, with what a decoder needs.
#[derive(Clone, Copy, Debug)]
struct First {
    /// Bytes that were on the socket before it.
    before: u64,
    /// Its own bytes.
    bytes: u64,
}

/// Builds one; it connects as soon as it begins.
pub(super) fn connect(
    target: &Target,
    to: &config::Rtmp,
    [application, stream]: [&Secret; 2],
    login: Option<&(Secret, Secret)>,
) -> Result<Rtmp, Failure> {
    let sink = make("rtmp2sink", "sink")?;
    // Property by property: its own parser of addresses is never asked.
    sink.set_property_from_str("scheme", if to.tls { "rtmps" } else { "rtmp" });
    sink.set_property("host", target.to.host.as_str());
    sink.set_property("port", i32::from(target.to.port));
    sink.set_property("application", application.expose());
    sink.set_property("stream", stream.expose());
    if let Some((user, password)) = login {
        sink.set_property("username", user.expose());
        sink.set_property("password", password.expose());
    }
    let pipe = target.pipe(sink)?;
    let tags = source("tags");
    tags.set_caps(Some(&gst::Caps::new_empty_simple("video/x-flv")));
    pipe.pipeline.add(&tags)?;
    tags.link(&pipe.sink)?;
    let (flv, port, clock) = (Flv::new(target.sound), target.to.port, Clock::start());
    let (socket, arrived) = (Cell::default(), Cell::default());
    Ok(Rtmp { pipe, tags, flv, port, socket, clock, on_air: false, first: None, arrived })
}

impl Rtmp {
    /// The socket, once there is one.
    fn socket(&self) -> Option<Socket> {
        self.socket.get().or_else(|| Socket::find(self.port).inspect(|found| self.socket.set(Some(*found))))
    }

    pub(super) fn begin(self) -> Result<Box<dyn Line>, Trouble> {
        self.pipe.start()?;
        Ok(Box::new(self))
    }

    /// Bytes that the sink has written to its socket. It has none before the server has said that it may publish.
    fn written(&self) -> Option<u64> {
        self.pipe.figure("out-bytes-total")
    }

    /// Asks the kernel how far the stream has come.
    fn look(&self) -> Seen {
        // In this order: what is written in between counts as not acknowledged.
        let written = self.written().zip(self.first).map(|(bytes, first)| bytes.saturating_sub(first.before));
        let unacknowledged = self.socket().and_then(Socket::unacknowledged);
        let acknowledged = written.zip(unacknowledged).map(|(written, open)| written.saturating_sub(open));
        // Where the kernel does not tell, what the sink takes has to do.
        let arrived = self.arrived.get().1.max(acknowledged.unwrap_or_else(|| self.pipe.passed()));
        self.arrived.set((self.clock.now(), arrived));
        Seen { unacknowledged, acknowledged }
    }
}

/// What the kernel says, where it does.
#[derive(Clone, Copy, Debug)]
struct Seen {
    /// Bytes that it was given and the server has not acknowledged.
    unacknowledged: Option<u64>,
    /// Bytes of the stream that the server's kernel has acknowledged. Over TLS these are some fewer than it has, by what
    /// encryption adds to those that it has not.
    acknowledged: Option<u64>,
}

impl Line for Rtmp {
    fn is_connected(&self) -> bool {
        // Asked for some hundred times a second until then: the handshake does not wait for more.
        if let Some(socket) = self.socket() {
            socket.hurry();
        }
        self.written().is_some_and(|bytes| bytes > 0)
    }

    fn supply(&mut self, frame: Frame) -> Result<(), Trouble> {
        let tags = self.flv.tags(&frame);
        if self.first.is_none() {
            let bytes = tags.iter().map(|tag| (tag.size() as u64).saturating_sub(TAG)).sum();
            self.first = Some(First { before: self.written().unwrap_or_default(), bytes });
        }
        tags.into_iter().try_for_each(|tag| self.pipe.push(&self.tags, tag))
    }

    fn bundles(&self) -> bool {
        true
    }

    fn is_full(&self) -> bool {
        self.tags.current_level_bytes() > self.tags.max_bytes()
    }

    fn way(&self) -> Way {
        let unacknowledged = self.look().unacknowledged;
        Way { in_front: self.tags.current_level_bytes(), unacknowledged, ..Way::default() }
    }

    fn on_air(&mut self) {
        self.on_air = true;
    }

    fn arrived(&self) -> u64 {
        if !self.on_air || self.clock.now().since(self.arrived.get().0) >= LOOK {
            self.look();
        }
        self.arrived.get().1
    }

    fn has_first(&self) -> bool {
        let Some(first) = self.first else { return false };
        self.pipe.passed_frame() && self.look().acknowledged.is_none_or(|bytes| bytes >= first.bytes)
    }

    fn trouble(&self) -> Option<Trouble> {
        self.pipe.trouble()
    }
}
