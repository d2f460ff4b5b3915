//! RTMP and RTMPS: FLV tags that go straight into the sink.

use std::cell::Cell;

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;

use super::failure::{Failure, Trouble, make};
use super::flv::Flv;
use super::line::{Line, Pipe, Target, Way, source};
use super::queue::Frame;
use super::tcp::Socket;

/// One connection.
pub(super) struct Rtmp {
    pipe: Pipe,
    tags: gst_app::AppSrc,
    flv: Flv,
    port: u16,
    socket: Cell<Option<Socket>>,
}

/// Builds one; it connects as soon as it begins.
pub(super) fn connect(target: &Target) -> Result<Rtmp, Failure> {
    let sink = make("rtmp2sink", "sink")?;
    sink.set_property("location", target.keys.url.expose());
    let pipe = target.pipe(sink)?;
    let tags = source("tags");
    tags.set_caps(Some(&gst::Caps::new_empty_simple("video/x-flv")));
    pipe.pipeline.add(&tags)?;
    tags.link(&pipe.sink)?;
    Ok(Rtmp { pipe, tags, flv: Flv::new(target.sound), port: target.to.port, socket: Cell::new(None) })
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
}

impl Line for Rtmp {
    fn is_connected(&self) -> bool {
        // Asked for some hundred times a second until then: the handshake does not wait for more.
        if let Some(socket) = self.socket() {
            socket.hurry();
        }
        // It has counters once the server has said that it may publish, and not before.
        self.pipe.figure::<u64>("out-bytes-total").is_some_and(|bytes| bytes > 0)
    }

    fn supply(&mut self, frame: Frame) -> Result<(), Trouble> {
        let Self { pipe, tags, flv, .. } = self;
        flv.tags(&frame).into_iter().try_for_each(|tag| pipe.push(tags, tag))
    }

    fn is_full(&self) -> bool {
        self.tags.current_level_bytes() > self.tags.max_bytes()
    }

    fn way(&self) -> Way {
        let unacknowledged = self.socket().and_then(Socket::unacknowledged);
        Way { in_front: self.tags.current_level_bytes(), unacknowledged, ..Way::default() }
    }

    fn passed(&self) -> u64 {
        self.pipe.passed()
    }

    fn trouble(&self) -> Option<Trouble> {
        self.pipe.trouble()
    }
}
