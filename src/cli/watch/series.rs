//! How the stream did over the last minutes, a point a second. Pure.

use std::collections::VecDeque;

use crate::ipc::{Status, StreamStats};

/// Points that are kept: more columns than any terminal has.
const KEPT: usize = 600;
/// Seconds without news after which nothing is drawn any more: capture tells once a second, and may be a little late.
const STALE: u8 = 2;

/// What is drawn, from top to bottom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Metric {
    Bitrate,
    Target,
    Frames,
    Queue,
    RoundTrip,
    Level,
}

impl Metric {
    pub(super) const ALL: [Self; 6] =
        [Self::Bitrate, Self::Target, Self::Frames, Self::Queue, Self::RoundTrip, Self::Level];

    /// Its value in a report; `None`: there is none.
    pub(super) fn of(self, stats: &StreamStats) -> Option<f64> {
        match self {
            Self::Bitrate => Some(f64::from(stats.bitrate_kbps)),
            // No encoder is asked for nothing: it is not told yet.
            Self::Target => (stats.target_kbps > 0).then(|| f64::from(stats.target_kbps)),
            Self::Frames => Some(f64::from(stats.fps)),
            Self::Queue => Some(f64::from(stats.queue_ms)),
            Self::RoundTrip => stats.round_trip_ms.map(f64::from),
            Self::Level => stats.level_db.map(f64::from),
        }
    }
}

/// The history, and what the guard said last.
#[derive(Debug, Default)]
pub(super) struct Series {
    points: VecDeque<Option<StreamStats>>,
    news: Option<StreamStats>,
    silent: u8,
    /// The guard's word; `Err`: it does not answer, and why.
    pub(super) status: Option<Result<Status, String>>,
}

impl Series {
    /// The guard says something.
    pub(super) fn update(&mut self, status: Status) {
        let known = self.status.as_ref().and_then(|known| known.as_ref().ok()).and_then(|known| known.stream);
        // The same figures again are an old report in a new status.
        if status.stream != known {
            self.news = status.stream;
        }
        self.status = Some(Ok(status));
    }

    /// The guard does not answer.
    pub(super) fn disconnected(&mut self, why: String) {
        self.news = None;
        self.silent = STALE;
        self.status = Some(Err(why));
    }

    /// A second has passed.
    pub(super) fn tick(&mut self) {
        let point = if let Some(stats) = self.news.take() {
            self.silent = 0;
            Some(stats)
        } else {
            self.silent = self.silent.saturating_add(1);
            let told = matches!(&self.status, Some(Ok(status)) if status.stream.is_some());
            self.now().copied().filter(|_| told && self.silent < STALE)
        };
        if self.points.len() == KEPT {
            self.points.pop_front();
        }
        self.points.push_back(point);
    }

    /// How the stream does, if it does.
    pub(super) fn now(&self) -> Option<&StreamStats> {
        self.points.back()?.as_ref()
    }

    /// The last `count` values of a figure, oldest first; fewer if there are fewer.
    pub(super) fn last(&self, figure: Metric, count: usize) -> Vec<Option<f64>> {
        let first = self.points.len().saturating_sub(count);
        self.points.range(first..).map(|point| figure.of(point.as_ref()?)).collect()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::ipc::{LampPattern, Phase};

    pub(in super::super) fn status(stream: Option<StreamStats>) -> Status {
        let (phase, lamp) = match stream {
            Some(_) => (Phase::Live, LampPattern::Solid),
            None => (Phase::Idle, LampPattern::Dark),
        };
        let idle = Status::idle(jiff::Timestamp::UNIX_EPOCH, "2022-07-11");
        Status { phase, lamp, session: stream.map(|_| 7), stream, ..idle }
    }

    fn report(bitrate_kbps: u32) -> Status {
        status(Some(StreamStats { bitrate_kbps, ..StreamStats::default() }))
    }

    #[test]
    fn a_late_report_is_bridged_and_an_old_one_is_not_drawn_for_ever() {
        let mut series = Series::default();
        series.tick();
        series.update(report(100));
        series.tick();
        // One second without a report, then one, then only the phase changes again and again.
        series.tick();
        series.update(report(200));
        series.tick();
        for _ in 0..3 {
            series.update(report(200));
            series.tick();
        }
        let seen = series.last(Metric::Bitrate, 10);
        assert_eq!(seen, [None, Some(100.0), Some(100.0), Some(200.0), Some(200.0), None, None]);
        assert_eq!(series.last(Metric::Bitrate, 2), [None, None]);
    }

    #[test]
    fn off_air_and_without_a_guard_there_is_no_value() {
        let mut series = Series::default();
        series.update(report(100));
        series.tick();
        series.update(status(None));
        series.tick();
        series.update(report(300));
        series.disconnected("gone".to_owned());
        series.tick();
        assert_eq!(series.last(Metric::Bitrate, 10), [Some(100.0), None, None]);
        assert!(series.now().is_none());
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut series = Series::default();
        for _ in 0..2 * KEPT {
            series.tick();
        }
        assert_eq!(series.points.len(), KEPT);
    }
}
