//! What links do: steps, ramps, a mobile network, bursts of loss, and a router with too large a queue.

use super::Millis;

/// A link at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Way {
    /// What passes, in kbit/s.
    pub(super) kbps: f64,
    /// Share of packets that get lost behind the bottleneck.
    pub(super) loss: f64,
    /// Round trip without any queue, in milliseconds.
    pub(super) rtt: Millis,
    /// Bytes that the bottleneck queues.
    pub(super) buffer: f64,
    /// It is an interface of the box's own: the socket takes no more than that lets through.
    pub(super) near: bool,
}

/// A link over time.
pub(super) struct Trace {
    pub(super) name: String,
    pub(super) length: Millis,
    /// When it falls and when it comes back, where it does so at once.
    pub(super) steps: Option<(Millis, Millis)>,
    /// With the frames of real footage.
    pub(super) footage: bool,
    /// Of all dice but the link's own.
    pub(super) seed: u64,
    at: Box<dyn Fn(Millis) -> Way>,
}

/// 128 KB: a quarter of a second at 4 Mbit/s, one at 1 Mbit/s.
const USUAL: Way = Way { kbps: 4000.0, loss: 0.0, rtt: 40, buffer: 131_072.0, near: false };

/// A mobile network's way, whatever passes at the moment.
const MOBILE: Way = Way { kbps: 0.0, loss: 0.002, rtt: 60, buffer: 262_144.0, near: false };

impl Trace {
    fn new(name: impl Into<String>, length: Millis, at: impl Fn(Millis) -> Way + 'static) -> Self {
        Self { name: name.into(), length, steps: None, footage: false, seed: 7, at: Box::new(at) }
    }

    /// The same with other dice, and steps and all so much later: keyframes come each 2 s, before a fall or after it.
    pub(super) fn turn(self, turn: u64) -> Self {
        let by = turn * 2000 / TURNS.end;
        let (at, steps) = (self.at, self.steps.map(|(fall, back)| (fall + by, back + by)));
        let at = Box::new(move |now: Millis| at(now.saturating_sub(by)));
        Self { at, steps, length: self.length + by, seed: 7 + turn, ..self }
    }

    pub(super) fn with_footage(self) -> Self {
        Self { footage: true, name: format!("{}, real footage", self.name), ..self }
    }

    pub(super) fn at(&self, now: Millis) -> Way {
        (self.at)(now)
    }
}

/// 4, 1, 4 Mbit/s: 40 s to get there, 40 s of little, 60 s to come back.
fn step(name: impl Into<String>, way: Way) -> Trace {
    let (fall, back) = (40_000, 80_000);
    let at = move |now| Way { kbps: if (fall..back).contains(&now) { way.kbps / 4.0 } else { way.kbps }, ..way };
    Trace { steps: Some((fall, back)), ..Trace::new(name, 140_000, at) }
}

/// Falls for 20 s, stays for 20, comes back in 20.
#[allow(clippy::cast_precision_loss)]
fn ramp() -> Trace {
    let at = |now: Millis| {
        let down = now.clamp(40_000, 60_000) - 40_000;
        let up = now.clamp(80_000, 100_000) - 80_000;
        Way { kbps: 4000.0 - 0.15 * down as f64 + 0.15 * up as f64, ..USUAL }
    };
    Trace::new("ramp 4, 1, 4", 140_000, at)
}

/// A walk between 0.6 and 6 Mbit/s, a new value every half second, with holes of a second; as recorded mobile uplinks
/// do.
fn mobile(seed: u64) -> Trace {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut level: f64 = 2.0;
    let mut hole = 0;
    let values: Vec<f64> = (0..400)
        .map(|_| {
            level = (level * (0.82 + 0.38 * random.f64())).clamp(0.6, 6.0);
            hole = if hole > 0 {
                hole - 1
            } else if random.f64() < 0.01 {
                2
            } else {
                0
            };
            1000.0 * if hole > 0 { 0.4 } else { level }
        })
        .collect();
    let at = move |now: Millis| {
        let index = usize::try_from(now / 500).unwrap_or(usize::MAX);
        Way { kbps: values[index.min(values.len() - 1)], ..MOBILE }
    };
    Trace::new(format!("mobile {seed}"), 200_000, at)
}

/// Every 10 s 2 s in which a tenth gets lost; half a percent always.
fn bursts() -> Trace {
    let at = |now: Millis| Way { loss: if now % 10_000 < 2000 { 0.1 } else { 0.005 }, ..USUAL };
    Trace::new("bursts of loss", 140_000, at)
}

/// The same all the time.
pub(super) fn even(kbps: f64) -> Trace {
    Trace::new("even", 120_000, move |_| Way { kbps, ..USUAL })
}

/// Uplinks that were recorded elsewhere, from the files that `TALLYBOX_TRACES` names (as `PATH` names folders): in each
/// line for how long, in milliseconds, and what passes, in kbit/s; in a loop. Away and lossy as a mobile one.
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
        Way { kbps: steps[index].1, ..MOBILE }
    };
    Trace::new(file.file_stem().unwrap_or_default().to_string_lossy(), 200_000, at)
}

/// With room for everything, so far away, in milliseconds.
pub(super) fn wide(rtt: Millis) -> Trace {
    Trace::new("wide", 20_000, move |_| Way { kbps: 30_000.0, rtt, ..USUAL })
}

/// How often each is run.
pub(super) const TURNS: core::ops::Range<u64> = 0..6;

/// What the table shows.
pub(super) fn all() -> Vec<Trace> {
    vec![
        step("step 4, 1, 4", USUAL),
        step("step", USUAL).with_footage(),
        step("step, 1 MB queue", Way { buffer: 1_000_000.0, ..USUAL }),
        step("step, 0.3 s away", Way { rtt: 300, ..USUAL }),
        step("step at the box's own modem", Way { near: true, ..USUAL }),
        ramp(),
        mobile(1),
        mobile(2),
        mobile(2).with_footage(),
        bursts(),
    ]
}

/// Other ways than the usual one: ours is tuned to none of them.
pub(super) fn others() -> Vec<Trace> {
    let ways = [10, 40, 150].into_iter().flat_map(|rtt| [32, 128, 1024].map(|kib| (rtt, kib)));
    let step =
        |(rtt, kib)| step(format!("step, {rtt} ms, {kib} KiB"), Way { rtt, buffer: f64::from(kib) * 1024.0, ..USUAL });
    let even =
        [1000.0, 2000.0, 4000.0].map(|kbps| Trace { name: format!("even {kbps} kbit/s"), ..even(kbps) }.with_footage());
    ways.map(step).chain(even).chain([3, 4, 5, 6].map(mobile)).collect()
}
