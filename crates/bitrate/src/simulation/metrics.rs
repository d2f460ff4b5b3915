//! The metrics of a run.

use super::simulator::{Moment, Record};
use super::traces::Trace;
use super::{LIMITS, Millis};

/// The metrics of one controller on one link.
#[derive(Clone, Copy, Debug)]
pub(super) struct Metrics {
    /// From the fall of the capacity until the target is below it for a second.
    pub(super) settling_time: Option<Millis>,
    /// What arrived, as a share of what the link could have carried: while it is slow, from 10 s after the fall on;
    /// without steps from 20 s after the start on.
    pub(super) utilization: f64,
    /// From the return of the capacity until the target is 90 % of it.
    pub(super) recovery_time: Option<Millis>,
    /// The maximum where several runs are combined.
    pub(super) lost_frames: usize,
    /// 95th percentile of the time from encoder to acknowledgement, in milliseconds.
    pub(super) delay_p95: Millis,
}

impl Metrics {
    /// Combines several runs: the means, and the largest loss.
    #[allow(clippy::cast_precision_loss)] // a few runs
    pub(super) fn mean(runs: &[Self]) -> Self {
        let mean_time = |time: fn(&Self) -> Option<Millis>| {
            let times: Option<Vec<Millis>> = runs.iter().map(time).collect();
            times.map(|times| times.iter().sum::<Millis>() / (runs.len() as Millis))
        };
        Self {
            settling_time: mean_time(|run| run.settling_time),
            utilization: runs.iter().map(|run| run.utilization).sum::<f64>() / runs.len() as f64,
            recovery_time: mean_time(|run| run.recovery_time),
            lost_frames: runs.iter().map(|run| run.lost_frames).max().unwrap_or(0),
            delay_p95: mean_time(|run| Some(run.delay_p95)).unwrap_or(0),
        }
    }

    pub(super) fn of(trace: &Trace, record: &Record) -> Self {
        let mut delays = record.delays.clone();
        delays.sort_unstable();
        let delay_p95 = delays.get(delays.len() * 95 / 100).copied().unwrap_or(0);
        let (from, until) = trace.steps.map_or((20_000, trace.length), |(fall, back)| (fall + 10_000, back));
        let settling_time = trace.steps.map(|(fall, _)| settled_at(record, fall).map_or(trace.length, |at| at - fall));
        let recovery_time = trace.steps.map(|(_, back)| {
            let recovered = |moment: &&Moment| moment.at >= back && moment.target_kbps >= 0.9 * moment.capacity_kbps;
            record.moments.iter().find(recovered).map_or(trace.length, |moment| moment.at - back)
        });
        let utilization = utilization(record, from, until);
        Self { settling_time, utilization, recovery_time, lost_frames: record.lost_frames, delay_p95 }
    }
}

/// The first of ten moments in a row in which the target does not exceed the capacity.
fn settled_at(record: &Record, fall: Millis) -> Option<Millis> {
    let after: Vec<_> = record.moments.iter().filter(|moment| moment.at >= fall).collect();
    let is_settled = |ten: &&[&Moment]| ten.iter().all(|moment| moment.target_kbps <= moment.capacity_kbps);
    after.windows(10).find(is_settled).map(|ten| ten[0].at)
}

fn utilization(record: &Record, from: Millis, until: Millis) -> f64 {
    let max = f64::from(LIMITS.max.bitrate_kbps + LIMITS.overhead_kbps);
    let span: Vec<_> = record.moments.iter().filter(|moment| (from..until).contains(&moment.at)).collect();
    let (Some(first), Some(last)) = (span.first(), span.last()) else { return 0.0 };
    // Each moment stands for the 100 ms after it; the last only ends the span.
    let possible: f64 = span[..span.len() - 1].iter().map(|moment| moment.capacity_kbps.min(max) * 100.0 / 8.0).sum();
    (last.delivered_bytes - first.delivered_bytes) / possible
}
