//! One connection to an ingest server: what they have in common, and what those that are pipelines share.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;

use crate::capture::encoder::frame_sink::at_once;
use crate::capture::error::{Failure, Trouble, error_on, of_push};
use crate::capture::gst::timebase::Timebase;
use crate::capture::output::rtmp;
use crate::capture::output::srt;
use crate::capture::output::srt::race::Reached;
use crate::capture::output::whip;
use crate::capture::queue::Frame;
use crate::config::{
    Config, Destination, HostPattern, Login, MissingSecret, Protocol, Rtmp, Secret, Srt, Template, Wrong,
};
use bitrate::Rendition;

/// A connection. Dropping it closes it.
pub(crate) trait Line {
    /// Reads and writes what can be without waiting, where the connection has no thread of its own.
    fn drive(&mut self) {}

    /// Waits until there is something to be read or written, for `span` at most; false: it does not know how to.
    fn wait(&mut self, _span: Duration) -> bool {
        false
    }

    /// The server lets the stream in.
    fn is_connected(&self) -> bool;

    /// Whether the server is found out only by sending: it is given a few frames before it is connected.
    fn knocks(&self) -> bool {
        false
    }

    /// Whether sound may wait for the next picture, a frame's time at most: both then go with fewer wake-ups and packets.
    fn bundles(&self) -> bool {
        false
    }

    /// The round trip, if another connection, made with it in mind, would fit better; asked once, before it is on air.
    fn misfit(&self) -> Option<Duration> {
        None
    }

    /// Sends a frame, or puts it in front of the sink.
    fn supply(&mut self, frame: Frame) -> Result<(), Trouble>;

    /// More waits in front of the sink than should.
    fn is_full(&self) -> bool;

    /// The server has taken the first frame.
    fn on_air(&mut self) {}

    /// How much has arrived at the server, as far as the protocol tells: bytes, buffers or frames. A server that is
    /// there makes it grow.
    fn arrived(&self) -> u64;

    /// The server has the first frame, as far as the protocol tells: the stream is on air.
    fn has_first(&self) -> bool;

    /// What went wrong, if something did.
    fn trouble(&self) -> Option<Trouble>;

    /// What the bitrate controller wants to know.
    fn way(&self) -> Way {
        Way::default()
    }

    /// Round-trip time in milliseconds, where the protocol tells.
    fn rtt(&self) -> Option<u32> {
        None
    }

    /// Whether somebody who watches misses a keyframe; told once.
    fn wants_keyframe(&self) -> bool {
        false
    }
}

/// Buffers that pass a sink before one of them is a frame: metadata and the codecs' configurations.
const HEADERS: u64 = 3;

/// What stands between the queue and the server, as far as the protocol tells; see `adapt::Measurement`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Way {
    /// Bytes in front of the socket.
    pub(crate) in_front: u64,
    /// Bytes that the socket has and the server has not acknowledged.
    pub(crate) unacknowledged: Option<u64>,
    /// Round trip with all that waits on it.
    pub(crate) rtt: Option<Duration>,
    /// Acknowledgements that were heard since the connection began, where the round trip is smoothed as SRT does.
    pub(crate) acks: Option<u64>,
    /// Bytes that were sent again since the connection began.
    pub(crate) resent: u64,
    /// What the protocol itself thinks that the way carries, in kbit/s.
    pub(crate) estimate_kbps: Option<u32>,
}

/// Where the stream goes, and what it is made of.
pub(crate) struct Target {
    pub(crate) to: Destination,
    pub(crate) keys: Keys,
    pub(crate) sound: bool,
    /// Target of the sound in kbit/s.
    pub(crate) audio_kbps: u32,
    /// Round trip as it was last seen.
    pub(crate) rtt: Cell<Option<Duration>>,
    /// The picture at its best.
    pub(crate) picture: Rendition,
    /// Hosts that a stream may go to.
    pub(crate) allowed: Arc<[HostPattern]>,
    pub(crate) reached: Reached,
    time: Timebase,
    pub(crate) names: Names,
    /// Threads of connections that take their leave of the server.
    leaving: RefCell<Vec<JoinHandle<()>>>,
}

impl Drop for Target {
    fn drop(&mut self) {
        for thread in self.leaving.take() {
            let _ = thread.join();
        }
    }
}

/// What a server is told, with its secrets in place.
#[derive(Clone, Debug)]
pub(crate) enum Keys {
    Rtmp {
        application: Secret,
        stream: Secret,
        /// User and password.
        login: Option<(Secret, Secret)>,
    },
    Srt {
        passphrase: Option<Secret>,
        stream_id: Option<Secret>,
    },
    Whip {
        endpoint: Secret,
        token: Option<Secret>,
    },
}

impl Keys {
    pub(crate) fn resolve(to: &Destination) -> Result<Self, Failure> {
        let missing = |error: MissingSecret| Failure::config(error.to_string());
        let unusable = |Wrong { wrong, advice }: Wrong| Failure::config(format!("[ingest] {wrong}; {advice}"));
        let get = |template: &Template| template.resolve().map_err(missing);
        let optional = |template: &Option<Template>| template.as_ref().map(get).transpose();
        let keys = match &to.protocol {
            Protocol::Rtmp(Rtmp { tls: _, application, stream, login }) => {
                let login = match login {
                    Some(Login { user, password }) => Some((get(user)?, get(password)?)),
                    None => None,
                };
                Self::Rtmp { application: get(application)?, stream: get(stream)?, login }
            }
            Protocol::Srt(Srt { passphrase, stream_id, .. }) => {
                Self::Srt { passphrase: optional(passphrase)?, stream_id: optional(stream_id)? }
            }
            Protocol::Whip(whip) => {
                Self::Whip { endpoint: to.endpoint(whip).map_err(missing)?, token: optional(&whip.token)? }
            }
        };
        to.unusable_secrets().into_iter().next().map_or(Ok(keys), |wrong| Err(unusable(wrong)))
    }

    /// The fields that are nobody's business, the longest first.
    fn hidden(&self, to: &Destination) -> Vec<String> {
        let whole = |secret: &Secret| Some(secret.expose().to_owned());
        let has_secret = |template: &Template| template.names().next().is_some();
        let mut hide: Vec<_> = match (self, &to.protocol) {
            (Self::Rtmp { application, stream, login }, Protocol::Rtmp(rtmp)) => {
                let application = application.expose().to_owned();
                let (name, query) = stream.expose().split_once('?').unwrap_or((stream.expose(), ""));
                let values = query.split('&').filter_map(|pair| Some(pair.split_once('=')?.1.to_owned()));
                let password = login.as_ref().and_then(|(_, password)| whole(password));
                let all = [has_secret(&rtmp.application).then_some(application), whole(stream), Some(name.to_owned())];
                all.into_iter().chain([password]).flatten().chain(values).collect()
            }
            (Self::Srt { passphrase, stream_id }, _) => {
                [passphrase, stream_id].into_iter().flatten().filter_map(whole).collect()
            }
            (Self::Whip { endpoint, token }, _) => {
                let path = endpoint.expose().strip_prefix(&to.origin()).unwrap_or_default().to_owned();
                [Some(path), token.as_ref().and_then(whole)].into_iter().flatten().collect()
            }
            (Self::Rtmp { .. }, _) => Vec::new(),
        };
        // One or two letters hide nothing and would eat words.
        hide.retain(|part| part.len() > 2);
        hide.sort_by_key(|part| std::cmp::Reverse(part.len()));
        hide
    }
}

/// What may be said of a server, and what may not.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    /// Host and port, for messages.
    pub(crate) host: String,
    /// The host alone, which is told whatever it looks like.
    pub(crate) name: String,
    /// Keys, and all else that is nobody's business.
    pub(crate) hide: Arc<[String]>,
}

impl Target {
    pub(crate) fn new(config: &Config, to: &Destination, keys: Keys, sound: bool, time: Timebase) -> Self {
        let names = Names {
            host: format!("{}:{}", to.host.in_url(), to.port),
            name: to.host.to_string(),
            hide: keys.hidden(to).into(),
        };
        Self {
            to: to.clone(),
            keys,
            sound,
            audio_kbps: config.audio.bitrate_kbps,
            rtt: Cell::new(None),
            picture: config.video.rendition(),
            allowed: config.privacy.allowed_ingest_hosts.clone().into(),
            reached: Reached::default(),
            time,
            names,
            leaving: RefCell::default(),
        }
    }

    /// A thread that ends by itself, and that the session's end waits for.
    pub(crate) fn farewell(&self, thread: JoinHandle<()>) {
        let mut all = self.leaving.borrow_mut();
        all.retain(|thread| !thread.is_finished());
        all.push(thread);
    }

    /// Host and port, for messages.
    pub(crate) fn host(&self) -> &str {
        &self.names.host
    }

    /// Begins a connection.
    pub(crate) fn connect(&self) -> Result<Box<dyn Line>, Trouble> {
        let broken = |failure: Failure| Trouble::away(failure.message);
        match (&self.to.protocol, &self.keys) {
            (Protocol::Rtmp(to), Keys::Rtmp { application, stream, login }) => {
                rtmp::connect(self, to, [application, stream], login.as_ref())
            }
            (Protocol::Srt(to), Keys::Srt { passphrase, stream_id }) => {
                Ok(Box::new(srt::connect(self, to, passphrase.as_ref(), stream_id.as_ref())?))
            }
            (Protocol::Whip(_), Keys::Whip { endpoint, token }) => whip::connect(self, endpoint, token.as_ref()),
            (Protocol::Rtmp(_) | Protocol::Srt(_) | Protocol::Whip(_), _) => {
                Err(broken(Failure::internal("the keys are another protocol's")))
            }
        }
    }

    /// A pipeline that ends in `sink`, not yet started.
    pub(crate) fn pipe(&self, sink: gst::Element) -> Result<Pipe, Failure> {
        let pipeline = gst::Pipeline::with_name("push");
        let bus = pipeline.bus().ok_or_else(|| Failure::internal("a pipeline without a bus"))?;
        at_once(&sink);
        pipeline.add(&sink)?;
        let passed = Arc::new(AtomicU64::new(0));
        let counter = passed.clone();
        if let Some(pad) = sink.static_pad("sink") {
            pad.add_probe(gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST, move |_, _| {
                counter.fetch_add(1, Ordering::Relaxed);
                gst::PadProbeReturn::Ok
            });
        }
        // Capture's time goes on through every connection: no gap and no step back at the server.
        self.time.rule(&pipeline);
        Ok(Pipe { pipeline, bus, sink, passed, names: self.names.clone() })
    }
}

/// The pipeline of a connection that is one.
#[derive(Debug)]
pub(crate) struct Pipe {
    pub(crate) pipeline: gst::Pipeline,
    bus: gst::Bus,
    pub(crate) sink: gst::Element,
    /// Buffers that reached the sink; it blocks until the server has taken the stream.
    passed: Arc<AtomicU64>,
    names: Names,
}

impl Drop for Pipe {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

impl Pipe {
    pub(crate) fn start(&self) -> Result<(), Trouble> {
        if self.pipeline.set_state(gst::State::Playing).is_err() {
            let unknown = || Trouble::away(format!("{}: the connection cannot be made", self.names.host));
            return Err(self.trouble().unwrap_or_else(unknown));
        }
        Ok(())
    }

    /// Gives `buffer` to one of its sources.
    pub(crate) fn push(&self, source: &gst_app::AppSrc, buffer: gst::Buffer) -> Result<(), Trouble> {
        let refused = |error| {
            let unknown = || Trouble::away(format!("{}: {error}", self.names.host));
            self.trouble().unwrap_or_else(unknown)
        };
        source.push_buffer(buffer).map(|_| ()).map_err(refused)
    }

    /// Host and port, for messages.
    pub(crate) fn host(&self) -> &str {
        &self.names.host
    }

    /// Buffers that the sink was given.
    pub(crate) fn passed(&self) -> u64 {
        self.passed.load(Ordering::Relaxed)
    }

    /// Whether a frame is among them.
    pub(crate) fn passed_frame(&self) -> bool {
        self.passed() > HEADERS
    }

    pub(crate) fn trouble(&self) -> Option<Trouble> {
        error_on(&self.bus, |_| {}).map(|posted| of_push(&posted, &self.names))
    }

    /// The sink's statistics, as they are now.
    pub(crate) fn figures(&self) -> Option<gst::Structure> {
        self.sink.property("stats")
    }

    /// A figure of the sink's statistics.
    pub(crate) fn figure<T: for<'a> gst::glib::value::FromValue<'a>>(&self, name: &str) -> Option<T> {
        self.figures()?.get(name).ok()
    }
}

/// What stands between the queue and a pipeline.
pub(crate) fn source(name: &str) -> gst_app::AppSrc {
    let source = gst_app::AppSrc::builder().name(name).format(gst::Format::Time).build();
    // What may wait for a server that does not read; the queue behind it is bounded by itself.
    source.set_max_bytes(256 * 1024);
    source.set_block(false);
    // Muxers wait for what is late only where their sources are live.
    source.set_is_live(true);
    source
}
