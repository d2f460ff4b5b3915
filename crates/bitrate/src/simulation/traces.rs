//! The simulated links over time: steps, ramps, a mobile network, bursts of loss, and a router with too large a queue.

use super::Millis;

/// A link at one time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct LinkState {
    /// Its capacity, in kbit/s.
    pub(super) kbps: f64,
    /// The share of packets that get lost behind the bottleneck.
    pub(super) loss: f64,
    /// The round-trip time without a queue, in milliseconds.
    pub(super) rtt: Millis,
    /// The size of the bottleneck's queue, in bytes.
    pub(super) buffer: f64,
    /// The bottleneck is one of the box's own interfaces: its socket blocks when the queue is full.
    pub(super) is_local_interface: bool,
}

/// A link over time.
pub(super) struct Trace {
    pub(super) name: String,
    pub(super) length: Millis,
    /// When the capacity falls and when it returns, where it does so in one step.
    pub(super) steps: Option<(Millis, Millis)>,
    /// The encoder produces the frame sizes of real footage.
    pub(super) footage: bool,
    /// The random seed of all but the link.
    pub(super) seed: u64,
    at: Box<dyn Fn(Millis) -> LinkState>,
}

/// 128 KiB: a quarter of a second at 4 Mbit/s, one at 1 Mbit/s.
const USUAL: LinkState = LinkState { kbps: 4000.0, loss: 0.0, rtt: 40, buffer: 131_072.0, is_local_interface: false };

/// A mobile network, whose capacity is set for each moment.
const MOBILE: LinkState = LinkState { kbps: 0.0, loss: 0.002, rtt: 60, buffer: 262_144.0, is_local_interface: false };

impl Trace {
    fn new(name: impl Into<String>, length: Millis, at: impl Fn(Millis) -> LinkState + 'static) -> Self {
        Self { name: name.into(), length, steps: None, footage: false, seed: 7, at: Box::new(at) }
    }

    /// The same with another seed, and later by a part of the 2 s between keyframes, so that a keyframe comes before
    /// the fall of the capacity or after it.
    pub(super) fn shifted(self, variant: u64) -> Self {
        let by = variant * 2000 / VARIANTS.end;
        let (at, steps) = (self.at, self.steps.map(|(fall, back)| (fall + by, back + by)));
        let at = Box::new(move |now: Millis| at(now.saturating_sub(by)));
        Self { at, steps, length: self.length + by, seed: 7 + variant, ..self }
    }

    pub(super) fn with_footage(self) -> Self {
        Self { footage: true, name: format!("{}, real footage", self.name), ..self }
    }

    pub(super) fn at(&self, now: Millis) -> LinkState {
        (self.at)(now)
    }
}

/// 4, 1, 4 Mbit/s: 40 s to settle, 40 s at a quarter, 60 s to recover.
fn step(name: impl Into<String>, link: LinkState) -> Trace {
    let (fall, back) = (40_000, 80_000);
    let at =
        move |now| LinkState { kbps: if (fall..back).contains(&now) { link.kbps / 4.0 } else { link.kbps }, ..link };
    Trace { steps: Some((fall, back)), ..Trace::new(name, 140_000, at) }
}

/// Falls for 20 s, stays low for 20 s, rises for 20 s.
#[allow(clippy::cast_precision_loss)]
fn ramp() -> Trace {
    let at = |now: Millis| {
        let down = now.clamp(40_000, 60_000) - 40_000;
        let up = now.clamp(80_000, 100_000) - 80_000;
        LinkState { kbps: 4000.0 - 0.15 * down as f64 + 0.15 * up as f64, ..USUAL }
    };
    Trace::new("ramp 4, 1, 4", 140_000, at)
}

/// A random walk between 0.6 and 6 Mbit/s with a new value every half second and gaps of a second, like recorded mobile
/// uplinks.
fn mobile(seed: u64) -> Trace {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut level: f64 = 2.0;
    let mut gap = 0;
    let values: Vec<f64> = (0..400)
        .map(|_| {
            level = (level * (0.82 + 0.38 * random.f64())).clamp(0.6, 6.0);
            gap = if gap > 0 {
                gap - 1
            } else if random.f64() < 0.01 {
                2
            } else {
                0
            };
            1000.0 * if gap > 0 { 0.4 } else { level }
        })
        .collect();
    let at = move |now: Millis| {
        let index = usize::try_from(now / 500).unwrap_or(usize::MAX);
        LinkState { kbps: values[index.min(values.len() - 1)], ..MOBILE }
    };
    Trace::new(format!("mobile {seed}"), 200_000, at)
}

/// A tenth of the packets gets lost for 2 s of every 10 s, half a percent always.
fn bursts() -> Trace {
    let at = |now: Millis| LinkState { loss: if now % 10_000 < 2000 { 0.1 } else { 0.005 }, ..USUAL };
    Trace::new("bursts of loss", 140_000, at)
}

/// A constant capacity.
pub(super) fn constant(kbps: f64) -> Trace {
    Trace::new("even", 120_000, move |_| LinkState { kbps, ..USUAL })
}

/// Recorded uplinks, from the files that `TALLYBOX_TRACES` lists as `PATH` lists folders. Each line has a duration in
/// milliseconds and a capacity in kbit/s; they run in a loop, with the round trip and loss of a mobile network.
pub(super) fn recorded() -> Vec<Trace> {
    let files = std::env::var_os("TALLYBOX_TRACES").unwrap_or_default();
    let named = std::env::split_paths(&files).filter(|file| !file.as_os_str().is_empty());
    named.map(|file| replay(&file)).collect()
}

fn replay(file: &std::path::Path) -> Trace {
    let text = std::fs::read_to_string(file).expect("a file of TALLYBOX_TRACES");
    let (mut end, mut steps) = (0, Vec::new());
    for line in text.lines() {
        let (span, kbps) = line.split_once(' ').expect("milliseconds and kbit/s");
        end += span.parse::<Millis>().expect("milliseconds");
        steps.push((end, kbps.parse::<f64>().expect("kbit/s")));
    }
    let at = move |now: Millis| {
        let index = steps.partition_point(|step| step.0 <= now % end);
        LinkState { kbps: steps[index].1, ..MOBILE }
    };
    Trace::new(file.file_stem().unwrap_or_default().to_string_lossy(), 200_000, at)
}

/// More capacity than is ever needed, with a round-trip time of `rtt` milliseconds.
pub(super) fn wide(rtt: Millis) -> Trace {
    Trace::new("wide", 20_000, move |_| LinkState { kbps: 30_000.0, rtt, ..USUAL })
}

/// Each trace runs once per variant.
pub(super) const VARIANTS: core::ops::Range<u64> = 0..6;

/// The links of the table.
pub(super) fn all() -> Vec<Trace> {
    vec![
        step("step 4, 1, 4", USUAL),
        step("step", USUAL).with_footage(),
        step("step, 1 MB queue", LinkState { buffer: 1_000_000.0, ..USUAL }),
        step("step, 0.3 s away", LinkState { rtt: 300, ..USUAL }),
        step("step at the box's own modem", LinkState { is_local_interface: true, ..USUAL }),
        ramp(),
        mobile(1),
        mobile(2),
        mobile(2).with_footage(),
        bursts(),
    ]
}

/// More links, to none of which our controller is tuned.
pub(super) fn others() -> Vec<Trace> {
    let links = [10, 40, 150].into_iter().flat_map(|rtt| [32, 128, 1024].map(|kib| (rtt, kib)));
    let step = |(rtt, kib)| {
        step(format!("step, {rtt} ms, {kib} KiB"), LinkState { rtt, buffer: f64::from(kib) * 1024.0, ..USUAL })
    };
    let constant = [1000.0, 2000.0, 4000.0]
        .map(|kbps| Trace { name: format!("even {kbps} kbit/s"), ..constant(kbps) }.with_footage());
    links.map(step).chain(constant).chain([3, 4, 5, 6].map(mobile)).collect()
}
