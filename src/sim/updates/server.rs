//! The server of packages: right, slow, broken or lying.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use crate::connect::simulated::packages::{Answer, Ask, Server};
use crate::sim::releases::ServerFault;
use crate::sim::releases::package::{Build, SERVER};
use crate::sim::truth::{Capture, Shared};
use crate::sync::LockExt;

/// Bytes that come at once.
const PIECE: usize = 512;
/// A download ends within this time of the beginning of a capture: its status, the agent's turn, and a piece.
const STOPS_WITHIN: Duration = Duration::from_secs(2);

/// The server, and what it sees.
pub(super) struct PackageServer {
    truth: Shared,
    fault: Mutex<ServerFault>,
    /// A client was served beside a capture: since when, and which capture.
    beside: Mutex<Option<(Instant, usize)>>,
}

impl PackageServer {
    pub(super) fn new(truth: Shared) -> Self {
        Self { truth, fault: Mutex::default(), beside: Mutex::default() }
    }

    pub(super) fn set_fault(&self, fault: ServerFault) {
        *self.fault.lock_unpoisoned() = fault;
    }

    /// A stream has the line for itself.
    fn check_streams(&self) {
        let mut truth = self.truth.lock_unpoisoned();
        let now = truth.now();
        let is_one = |(_, capture): &(usize, &Capture)| {
            capture.may_capture() && capture.told.is_some_and(|told| told + STOPS_WITHIN < now)
        };
        let found = truth.captures.iter().enumerate().find(is_one).map(|(number, _)| number);
        let mut beside = self.beside.lock_unpoisoned();
        *beside = match (*beside, found) {
            // A guard that waits for its disk keeps all others from seeing anything: the first time is no fault.
            (Some((since, before)), Some(number)) if before == number => {
                if since.elapsed() > Duration::from_secs(1) {
                    truth.violated(format_args!("updates: a package is downloaded beside capture {number}"));
                }
                Some((since, before))
            }
            (_, found) => found.map(|number| (Instant::now(), number)),
        };
    }
}

impl Server for PackageServer {
    fn answer(&self, ask: &Ask) -> Answer {
        self.check_streams();
        let fault = *self.fault.lock_unpoisoned();
        {
            let from = ask.range.as_deref().unwrap_or("its beginning");
            let mut truth = self.truth.lock_unpoisoned();
            truth.note(format_args!("{} is asked for, from {from}: {fault:?}", ask.url));
            if !ask.url.starts_with(&format!("https://{SERVER}/")) {
                truth.violated(format_args!("updates: the agent asks {}", ask.url));
            }
        }
        let begun =
            ask.range.as_deref().and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
        let Some(build) = Build::at(&ask.url) else { return said(404, Vec::new()) };
        let to = |place: String| said(302, vec![("Location", place)]);
        match fault {
            ServerFault::Down => Answer::default(),
            ServerFault::Status(status) => said(status, Vec::new()),
            ServerFault::Silent => Answer { after: Duration::MAX, ..Answer::default() },
            ServerFault::ToStranger => to(format!("https://elsewhere.example.cn/{}.deb", build.0)),
            ServerFault::ToPlain => to(format!("http://{SERVER}/{}.deb", build.0)),
            ServerFault::InCircles => to(build.url()),
            ServerFault::Once if !ask.url.contains("/mirror/") => to(format!("/mirror/{}.deb", build.0)),
            ServerFault::None
            | ServerFault::Slow(_)
            | ServerFault::Breaks(_)
            | ServerFault::Stalls(_)
            | ServerFault::Whole
            | ServerFault::OtherRange
            | ServerFault::OtherLength
            | ServerFault::OtherBytes
            | ServerFault::Once => file(build, begun, fault),
        }
    }

    fn on_read(&self) {
        self.check_streams();
    }
}

fn said(status: u16, headers: Vec<(&'static str, String)>) -> Answer {
    Answer { after: Duration::from_millis(40), status, headers, body: Vec::new(), hangs: false }
}

/// The package, from `begun` on where that is asked for.
fn file(build: Build, begun: Option<usize>, fault: ServerFault) -> Answer {
    let mut bytes = build.bytes();
    let whole = bytes.len();
    let begun = begun.filter(|_| fault != ServerFault::Whole);
    if begun.is_some_and(|begun| begun >= whole) {
        return said(416, Vec::new());
    }
    if let Some(byte) = bytes.get_mut(whole / 2).filter(|_| fault == ServerFault::OtherBytes) {
        *byte ^= 1;
    }
    let from = begun.unwrap_or(0);
    let told = from + usize::from(fault == ServerFault::OtherRange);
    let length = whole - from + usize::from(fault == ServerFault::OtherLength);
    let mut headers = vec![("Content-Length", length.to_string())];
    if begun.is_some() {
        headers.push(("Content-Range", format!("bytes {told}-{}/{whole}", whole - 1)));
    }
    let pace = Duration::from_millis(if let ServerFault::Slow(ms) = fault { ms.into() } else { 20 });
    let all = bytes[from..].chunks(PIECE).map(|piece| (pace, piece.to_vec()));
    let most =
        if let ServerFault::Breaks(pieces) | ServerFault::Stalls(pieces) = fault { pieces.into() } else { whole };
    let hangs = matches!(fault, ServerFault::Stalls(_));
    let status = if begun.is_some() { 206 } else { 200 };
    Answer { body: all.take(most).collect(), hangs, ..said(status, headers) }
}
