//! The last seconds of measurements, and what they say together.

use std::collections::VecDeque;

use super::history::Curve;
use super::measurement::Measurement;
use super::srt_rtt::Trip;
use monotonic::Monotonic;

/// Over so long the rate at which bytes arrive is taken: ten frames at 30 frames per second.
const SHORT: f64 = 0.3;
/// The same where confirmations stall.
const BLURRED: f64 = 0.6;
/// A jam shows in this already. Seconds.
const JAM: f64 = 0.2;
/// A round trip that was heard of this long ago still tells how things are. Seconds.
const FRESH: f64 = 0.1;
/// A piece that is lost is back after one of these, or after twice that if it is lost once more. Round trips.
const REPAIR: f64 = 2.5;
/// What leaves within two frames of what was heard of, before or after, may delay the next. Seconds.
const FRAME: f64 = 0.07;
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
    /// When it had arrived: where only round trips are known, when the last of them was heard of.
    heard: f64,
    resent: f64,
    /// How long the oldest byte waits that has not arrived.
    wait: f64,
    /// The link is no faster than this, where nothing was heard for too long.
    most: f64,
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
    /// That is no more than a bound: nothing is heard, and it is probably much less.
    pub(super) silent: bool,
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
    again: Curve,
    trip: Trip,
    samples: VecDeque<Sample>,
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
    /// Takes in how much was made, what of it waits on the box, and round trips: whenever it may have changed.
    pub(super) fn note(&mut self, m: &Measurement) {
        let at = m.now.duration_since(Monotonic::default()).as_secs_f64();
        self.made.add(at, kilobits(m.produced_bytes));
        self.left.add(at, kilobits(m.produced_bytes.saturating_sub(m.queued_bytes)));
        if let (None, Some(rtt), Some(acks)) = (m.unacked_bytes, m.rtt, m.ack_count) {
            self.again.add(at, kilobits(m.retransmitted_bytes));
            self.trip.add(at, rtt.as_secs_f64(), acks);
        }
    }

    /// Takes a measurement in.
    pub(super) fn add(&mut self, m: &Measurement) {
        let at = m.now.duration_since(Monotonic::default()).as_secs_f64();
        if self.samples.back().is_some_and(|last| last.at >= at) {
            return;
        }
        self.note(m);
        let (made, left, resent) = (
            kilobits(m.produced_bytes),
            kilobits(m.produced_bytes.saturating_sub(m.queued_bytes)),
            kilobits(m.retransmitted_bytes),
        );
        let normal = self.lows.front().map_or(0.0, |low| low.1);
        let sample = match (m.unacked_bytes, m.ack_count) {
            // Before the first round trip is known nobody knows how long the way is: nothing would pass for normal.
            (None, Some(_)) => match self.trip.heard() {
                Some(heard) => self.by_round_trips(at, made, left, resent, heard),
                None => return,
            },
            (bytes, _) => {
                let arrived = (left - kilobits(bytes.unwrap_or(0))).max(0.0);
                if arrived <= 0.0 && self.samples.is_empty() {
                    // Nor where nothing has come there yet.
                    return;
                }
                // Nothing is under way: that says nothing about how long it would be.
                let wait = self.made.reached(arrived).map_or(normal, |since| at - since);
                Sample { at, made, arrived, heard: at, resent, wait, most: f64::INFINITY }
            }
        };
        let wait = sample.wait;
        while self.lows.back().is_some_and(|low| low.1 >= wait) {
            self.lows.pop_back();
        }
        self.lows.push_back((at, wait));
        while self.lows.front().is_some_and(|low| at - low.0 > NORMAL) {
            self.lows.pop_front();
        }
        self.samples.push_back(sample);
        while self.samples.front().is_some_and(|old| at - old.at > LONG.max(MADE) + SHORT) {
            self.samples.pop_front();
        }
    }

    /// Where only round trips are known.
    fn by_round_trips(&mut self, at: f64, made: f64, left: f64, resent: f64, (rtt, heard): (f64, f64)) -> Sample {
        let through = self.trip.through();
        // Each piece that is sent again stands for one that did not arrive.
        let arrived = self.left.at(through) + self.again.at(through) - resent;
        let arrived = arrived.max(self.samples.back().map_or(0.0, |last| last.arrived));
        // Behind a keyframe nothing is heard until all of it is through; so long that is no news.
        let under_way = self.left.at(heard + FRAME) - self.left.at(through - FRAME);
        let makes = self.samples.back().map_or(0.0, |last| self.makes(last));
        // Nor is anything acknowledged behind what is lost, until it was sent again.
        let repair = if resent > self.again.at(heard - FRESH) { REPAIR * rtt } else { 0.0 };
        // Where nothing is under way there is nothing to be heard.
        let late = at - heard > FRESH + under_way / makes.max(1.0) + repair && left > self.left.at(through);
        let stalled = late.then_some(at - heard);
        let way = if stalled.is_some() { at - through } else { self.trip.take_least() };
        let on_box = self.made.reached(left).map_or(0.0, |since| at - since);
        // It cannot be faster than that, or it would have been heard of.
        let most = stalled.map_or(f64::INFINITY, |stalled| under_way / stalled);
        Sample { at, made, arrived, heard, resent, wait: on_box + way, most }
    }

    /// `None`: too little was measured yet.
    pub(super) fn view(&self) -> Option<View> {
        let last = self.samples.back()?;
        let first = self.since(last, LONG)?;
        if last.at - first.at < SHORT * 0.9 {
            return None;
        }
        let normal = self.lows.front()?.1;
        let span = if self.stalls(last) { BLURRED } else { SHORT };
        let (recent, from) = (self.heard_before(last, span)?, self.since(last, MADE)?);
        Some(View {
            at: last.at,
            span,
            arrives: ((last.arrived - recent.arrived) / (last.heard - recent.heard)).clamp(0.0, last.most),
            silent: last.most.is_finite(),
            made: self.makes(last),
            resent: (last.resent - from.resent) / (last.at - from.at),
            wait: last.wait - normal,
            busy: self.shortest(last.at - span) - normal,
            jam: if last.most.is_finite() { last.wait } else { self.shortest(last.at - JAM) } - normal,
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

    /// At which rate it is made, of late; nothing: not known yet.
    fn makes(&self, last: &Sample) -> f64 {
        self.since(last, MADE).map_or(0.0, |from| (last.made - from.made) / (last.at - from.at))
    }

    /// What was known `span` before what is known now, or the oldest.
    fn heard_before(&self, last: &Sample, span: f64) -> Option<&Sample> {
        let older = |sample: &&Sample| last.heard - sample.heard >= span - 1e-6;
        let oldest = self.samples.front().filter(|first| first.heard < last.heard - 0.05);
        self.samples.iter().rev().find(older).or(oldest)
    }

    /// The measurement `span` before `last`, or the oldest.
    fn since(&self, last: &Sample, span: f64) -> Option<&Sample> {
        self.samples.iter().find(|sample| last.at - sample.at <= span + 1e-6 && sample.at < last.at)
    }
}
