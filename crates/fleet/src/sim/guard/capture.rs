//! A simulated capture: it connects, streams with changing figures, loses its server now and then, and ends when it is
//! told to.

use std::time::Duration;

use consent::{CaptureSettings, Grant};
use monotonic::Monotonic;
use tallybox::ipc::{LinkKind, StreamStats};

/// How often figures change. A real capture reports each second, and nothing of that leaves the box but telemetry.
const STATS_INTERVAL: Duration = Duration::from_secs(5);
/// A session loses its server about once in this time.
const MEAN_OUTAGE_S: f64 = 600.0;

/// What capture reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CaptureEvent {
    Applied(CaptureSettings),
    Live,
    Reconnecting,
    Stats,
    Exited,
}

/// The process of one session, or none.
#[derive(Debug)]
pub(super) struct SimCapture {
    random: fastrand::Rng,
    bitrate_kbps: u32,
    height: u32,
    sound: bool,
    pending: Vec<(Monotonic, CaptureEvent)>,
    stream: Option<StreamStats>,
}

impl SimCapture {
    pub(super) fn new(seed: u64, bitrate_kbps: u32, height: u32) -> Self {
        let random = fastrand::Rng::with_seed(seed ^ 0x00ca_97e5);
        Self { random, bitrate_kbps, height, sound: false, pending: Vec::new(), stream: None }
    }

    pub(super) fn stream(&self) -> Option<StreamStats> {
        self.stream
    }

    /// The highest bitrate from now on.
    pub(super) fn set_bitrate(&mut self, bitrate_kbps: u32) {
        self.bitrate_kbps = bitrate_kbps;
        if let Some(stream) = &mut self.stream {
            stream.target_kbps = stream.target_kbps.min(bitrate_kbps);
        }
    }

    /// When it reports next.
    pub(super) fn due(&self) -> Option<Monotonic> {
        self.pending.iter().map(|(at, _)| *at).min()
    }

    /// What it reports by now, one after the other.
    pub(super) fn next(&mut self, now: Monotonic) -> Option<CaptureEvent> {
        let first = (0..self.pending.len()).min_by_key(|index| self.pending[*index].0)?;
        (self.pending[first].0 <= now).then(|| self.pending.swap_remove(first).1)
    }

    pub(super) fn launch(&mut self, now: Monotonic, grant: Grant) {
        let (_, sound, _) = grant.spend();
        self.sound = sound;
        self.stream = None;
        self.pending.clear();
        self.at(now, 0.1, 0.3, CaptureEvent::Applied(CaptureSettings::default()));
        self.at(now, 0.8, 3.0, CaptureEvent::Live);
    }

    pub(super) fn configure(&mut self, now: Monotonic, settings: CaptureSettings) {
        self.at(now, 0.02, 0.1, CaptureEvent::Applied(settings));
    }

    /// It ends by itself, soon.
    pub(super) fn stop(&mut self, now: Monotonic) {
        self.pending.clear();
        self.stream = None;
        self.at(now, 0.05, 0.25, CaptureEvent::Exited);
    }

    /// It is gone.
    pub(super) fn kill(&mut self) {
        self.pending.clear();
        self.stream = None;
    }

    /// The server has the stream: figures, and the next outage.
    pub(super) fn on_live(&mut self, now: Monotonic) {
        self.pending.retain(|(_, event)| !matches!(event, CaptureEvent::Stats | CaptureEvent::Reconnecting));
        self.update(now);
        let wait = -self.random.f64().max(1e-9).ln() * MEAN_OUTAGE_S;
        self.at(now, wait, wait, CaptureEvent::Reconnecting);
    }

    /// The server is lost, and comes back.
    pub(super) fn on_reconnecting(&mut self, now: Monotonic) {
        if let Some(stream) = &mut self.stream {
            stream.reconnects += 1;
            (stream.fps, stream.bitrate_kbps) = (0.0, 0);
        }
        self.at(now, 3.0, 20.0, CaptureEvent::Live);
    }

    /// New figures.
    pub(super) fn update(&mut self, now: Monotonic) {
        let random = &mut self.random;
        let old = self.stream.filter(|stream| stream.target_kbps > 0);
        let target = old.map_or(self.bitrate_kbps, |stream| stream.target_kbps);
        // A random walk between a quarter of the rate that is configured and all of it.
        let target = target * random.u32(85..=118) / 100;
        let target = target.clamp(self.bitrate_kbps / 4, self.bitrate_kbps);
        let dropped = if random.u8(..) < 8 { random.u64(1..20) } else { 0 };
        self.stream = Some(StreamStats {
            fps: 29.0 + random.f32() * 1.2,
            bitrate_kbps: target * random.u32(95..=105) / 100,
            dropped_frames: old.map_or(0, |stream| stream.dropped_frames) + dropped,
            round_trip_ms: Some(random.u32(18..60)),
            reconnects: old.map_or(0, |stream| stream.reconnects),
            target_kbps: target,
            height: self.height,
            reduced: target < self.bitrate_kbps,
            queue_ms: random.u32(0..120),
            link_kind: Some(LinkKind::Ethernet),
            link_metered: false,
            level_db: self.sound.then(|| -60.0 + random.f32() * 45.0),
        });
        self.pending.push((now.saturating_add(STATS_INTERVAL), CaptureEvent::Stats));
    }

    /// Plans an event between `from` and `to` seconds from now.
    fn at(&mut self, now: Monotonic, from: f64, to: f64, event: CaptureEvent) {
        let wait = Duration::from_secs_f64(from + (to - from) * self.random.f64());
        self.pending.push((now.saturating_add(wait), event));
    }
}
