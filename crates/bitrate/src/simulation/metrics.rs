//! What a run is worth.

use super::simulator::Record;
use super::traces::Trace;
use super::{LIMITS, Millis};

/// Figures of one controller on one link.
#[derive(Clone, Copy, Debug)]
pub(super) struct Figures {
    /// From the fall until what is asked for is below what the link takes, for a second at least.
    pub(super) settled: Option<Millis>,
    /// What arrived, as a share of what the link would have taken: while it is slow, from 10 s after the fall on;
    /// without steps from 20 s after the start on.
    pub(super) used: f64,
    /// From the return until 90 % of it are asked for.
    pub(super) back: Option<Millis>,
    /// At worst, where it stands for several runs.
    pub(super) lost: usize,
    /// From encoder to acknowledgement, of 95 in 100 frames, in milliseconds.
    pub(super) delay: Millis,
}

impl Figures {
    /// Of several runs: the means, and what was lost at worst.
    #[allow(clippy::cast_precision_loss)] // a few
    pub(super) fn mean(of: &[Self]) -> Self {
        let millis = |each: fn(&Self) -> Option<Millis>| {
            let all: Option<Vec<Millis>> = of.iter().map(each).collect();
            all.map(|all| all.iter().sum::<Millis>() / (of.len() as Millis))
        };
        Self {
            settled: millis(|run| run.settled),
            used: of.iter().map(|run| run.used).sum::<f64>() / of.len() as f64,
            back: millis(|run| run.back),
            lost: of.iter().map(|run| run.lost).max().unwrap_or(0),
            delay: millis(|run| Some(run.delay)).unwrap_or(0),
        }
    }

    pub(super) fn of(trace: &Trace, record: &Record) -> Self {
        let mut delays = record.delays.clone();
        delays.sort_unstable();
        let delay = delays.get(delays.len() * 95 / 100).copied().unwrap_or(0);
        let (from, until) = trace.steps.map_or((20_000, trace.length), |(fall, back)| (fall + 10_000, back));
        let settled = trace.steps.map(|(fall, _)| settled(record, fall).map_or(trace.length, |at| at - fall));
        let back = trace.steps.map(|(_, back)| {
            let found = record.moments.iter().find(|(at, asked, takes, _)| *at >= back && *asked >= 0.9 * takes);
            found.map_or(trace.length, |(at, ..)| at - back)
        });
        Self { settled, used: used(record, from, until), back, lost: record.lost, delay }
    }
}

/// When ten moments in a row begin in which no more is asked for than passes.
fn settled(record: &Record, fall: Millis) -> Option<Millis> {
    let after: Vec<_> = record.moments.iter().filter(|(at, ..)| *at >= fall).collect();
    after.windows(10).find(|ten| ten.iter().all(|(_, asked, takes, _)| asked <= takes)).map(|ten| ten[0].0)
}

fn used(record: &Record, from: Millis, until: Millis) -> f64 {
    let most = f64::from(LIMITS.max.bitrate_kbps + LIMITS.overhead_kbps);
    let span: Vec<_> = record.moments.iter().filter(|(at, ..)| (from..until).contains(at)).collect();
    let (Some(first), Some(last)) = (span.first(), span.last()) else { return 0.0 };
    // 100 ms each, and the last one only ends the span.
    let room: f64 = span[..span.len() - 1].iter().map(|(_, _, takes, _)| takes.min(most) * 100.0 / 8.0).sum();
    (last.3 - first.3) / room
}
