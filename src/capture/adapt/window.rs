//! The last seconds of measurements, and what they say together.

use std::collections::VecDeque;

use super::Measurement;
use super::curve::Curve;

/// Over so long the rate at which bytes arrive is taken: ten frames at 30 frames per second.
const SHORT: f64 = 0.3;
/// The same where confirmations stall, or where only the round-trip time is known, which says nothing about where in a keyframe the confirmations are.
const BLURRED: f64 = 0.6;
/// A jam shows in this already. Seconds.
const JAM: f64 = 0.2;
/// So much later than it happened SRT's round-trip time shows it: an eighth of each new one, every 10 ms. Seconds.
const LAG: f64 = 0.075;
/// A queue that is never empty for this long stands: no keyframe alone (every 2 s, drained in half of it) makes one.
const LONG: f64 = 1.2;
/// What the encoder makes is judged over this span, of some 30 frames.
const MADE: f64 = 1.0;
/// Waits are compared with the shortest of so long: a probe, or a drained queue, comes along more often.
const NORMAL: f64 = 20.0;

/// One measurement: seconds, and kilobits.
#[derive(Clone, Copy, Debug)]
struct Sample {
    at: f64,
    made: f64,
    arrived: f64,
    resent: f64,
    /// How long the oldest byte waits that has not arrived.
    wait: f64,
}

/// What the measurements say. Rates in kbit/s, times in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct View {
    /// When it was measured.
    pub(super) at: f64,
    /// Over how long `arrives` and `busy` are taken.
    pub(super) span: f64,
    /// At which rate bytes arrive, of late.
    pub(super) arrives: f64,
    /// At which rate they are made.
    pub(super) made: f64,
    /// At which rate they are sent again.
    pub(super) resent: f64,
    /// How much longer than normal a byte waits now.
    pub(super) wait: f64,
    /// The shortest such wait of late: this long at least everything waited.
    pub(super) busy: f64,
    /// The same over [`JAM`].
    pub(super) jam: f64,
    /// The shortest such wait over a longer while.
    pub(super) stands: f64,
}

/// The measurements of one connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Window {
    made: Curve,
    left: Curve,
    samples: VecDeque<Sample>,
    /// Only the round-trip time is known.
    blurred: bool,
    /// Waits, each shorter than all that came after it: the first is the shortest.
    lows: VecDeque<(f64, f64)>,
}

/// Kilobits of so many bytes.
fn kilobits(bytes: u64) -> f64 {
    // 2^53 bits are sent in 14 years at 20 Mbit/s.
    #[allow(clippy::cast_precision_loss)]
    let bytes = bytes as f64;
    bytes * 8.0 / 1000.0
}

impl Window {
    /// Takes in how much was made, and what of it waits on the box: whenever it has changed.
    pub(super) fn note(&mut self, at: f64, made: u64, waiting: u64) {
        self.made.add(at, kilobits(made));
        self.left.add(at, kilobits(made.saturating_sub(waiting)));
    }

    /// Takes a measurement in.
    pub(super) fn add(&mut self, m: &Measurement) {
        let at = m.now.since(crate::consent::Time::default()).as_secs_f64();
        if self.samples.back().is_some_and(|last| last.at >= at) {
            return;
        }
        self.note(at, m.made, m.waiting);
        self.blurred = m.unacknowledged.is_none() && m.rtt.is_some();
        let (made, left) = (kilobits(m.made), kilobits(m.made.saturating_sub(m.waiting)));
        let (arrived, way) = match (m.unacknowledged, m.rtt) {
            (Some(bytes), _) => ((left - kilobits(bytes)).max(0.0), 0.0),
            // What left one round trip ago is confirmed now; each piece that is sent again stands for one that was not.
            (None, Some(rtt)) => {
                let rtt = rtt.as_secs_f64();
                (self.left.at(at - LAG - rtt).min(left) - kilobits(m.resent), rtt)
            }
            (None, None) => (left, 0.0),
        };
        // Where confirmations are counted the oldest byte without one tells all; else what waits here, and the way.
        let oldest = if way > 0.0 { left } else { arrived };
        let normal = self.lows.front().map_or(0.0, |low| low.1);
        let wait = match self.made.reached(oldest) {
            Some(since) => at - since + way,
            // Nothing is under way: that says nothing about how long it would be.
            None if way > 0.0 => way,
            None => normal,
        };
        while self.lows.back().is_some_and(|low| low.1 >= wait) {
            self.lows.pop_back();
        }
        self.lows.push_back((at, wait));
        while self.lows.front().is_some_and(|low| at - low.0 > NORMAL) {
            self.lows.pop_front();
        }
        self.samples.push_back(Sample { at, made, arrived, resent: kilobits(m.resent), wait });
        while self.samples.front().is_some_and(|old| at - old.at > LONG.max(MADE) + SHORT) {
            self.samples.pop_front();
        }
    }

    /// `None`: too little was measured yet.
    pub(super) fn view(&self) -> Option<View> {
        let last = self.samples.back()?;
        let first = self.since(last, LONG)?;
        if last.at - first.at < SHORT * 0.9 {
            return None;
        }
        let normal = self.lows.front()?.1;
        let span = if self.blurred || self.stalls(last) { BLURRED } else { SHORT };
        let (recent, from) = (self.since(last, span)?, self.since(last, MADE)?);
        Some(View {
            at: last.at,
            span,
            arrives: ((last.arrived - recent.arrived) / (last.at - recent.at)).max(0.0),
            made: (last.made - from.made) / (last.at - from.at),
            resent: (last.resent - from.resent) / (last.at - from.at),
            wait: last.wait - normal,
            busy: self.shortest(last.at - span) - normal,
            jam: self.shortest(last.at - JAM) - normal,
            // Where less was measured nothing is known to stand.
            stands: if last.at - first.at < LONG * 0.9 { 0.0 } else { self.shortest(first.at) - normal },
        })
    }

    /// The way has become longer: what waits now is normal.
    pub(super) fn take_as_normal(&mut self) {
        if let Some(last) = self.samples.back() {
            self.lows = VecDeque::from([(last.at, last.wait)]);
        }
    }

    /// Whether nothing at all arrived for a moment although something was under way: TCP confirms in order, and one
    /// packet that was lost holds back all that came behind it. A link that is merely slow always confirms something.
    fn stalls(&self, last: &Sample) -> bool {
        let late = self.samples.iter().skip_while(|sample| last.at - sample.at > SHORT + 1e-6);
        let pairs = late.clone().zip(late.skip(1));
        pairs.into_iter().any(|(before, after)| after.arrived <= before.arrived && after.made > after.arrived)
    }

    fn shortest(&self, since: f64) -> f64 {
        // A hair more, for times that were added up.
        let late = self.samples.iter().rev().take_while(|sample| sample.at > since - 1e-6);
        late.map(|sample| sample.wait).fold(f64::INFINITY, f64::min)
    }

    /// The measurement `span` before `last`, or the oldest.
    fn since(&self, last: &Sample, span: f64) -> Option<&Sample> {
        self.samples.iter().find(|sample| last.at - sample.at <= span + 1e-6 && sample.at < last.at)
    }
}
