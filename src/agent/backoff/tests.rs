//! The distribution of waits, alone and in a fleet.

use super::*;

const ALL: [Ended; 4] = [Ended::Stable, Ended::Failed, Ended::ThrownOut, Ended::Meant];

fn secs(seconds: f64) -> Monotonic {
    Monotonic::from_start(Duration::from_secs_f64(seconds))
}

fn backoff(seed: u64) -> Backoff {
    Backoff::new(fastrand::Rng::with_seed(seed))
}

/// Begins of attempts that end after `takes`, as `ended` says, until `until`.
fn attempts(
    seed: u64,
    until: Monotonic,
    takes: Duration,
    spread: Duration,
    mut ended: impl FnMut() -> Ended,
) -> Vec<Monotonic> {
    let (mut backoff, mut now, mut all) = (backoff(seed), secs(0.0), Vec::new());
    while now < until {
        backoff.begin(now);
        all.push(now);
        now = backoff.next_attempt(now.saturating_add(takes), ended(), spread);
    }
    all
}

#[test]
fn no_minute_has_more_than_ten_attempts_however_they_end() {
    for seed in 0..500 {
        let takes = Duration::from_millis(seed % 7 * 500);
        // Each kind of end alone, and all of them mixed.
        for kind in ALL.into_iter().map(Some).chain([None]) {
            let mut random = fastrand::Rng::with_seed(seed);
            let begun = attempts(seed, secs(600.0), takes, Duration::ZERO, || {
                kind.unwrap_or_else(|| random.choice(ALL).unwrap())
            });
            for window in begun.windows(MAX_ATTEMPTS + 1) {
                let span = window[MAX_ATTEMPTS].duration_since(window[0]);
                assert!(span >= WINDOW, "seed {seed}, {kind:?}: eleven attempts within {span:?}");
            }
        }
    }
}

#[test]
fn waits_after_failures_grow_within_their_bounds_and_differ_between_boxes() {
    let mut tenth = Vec::new();
    for seed in 0..1000 {
        let (mut backoff, now) = (backoff(seed), secs(1000.0));
        let mut last = BASE;
        for _ in 0..10 {
            let wait = backoff.next_attempt(now, Ended::Failed, Duration::ZERO).duration_since(now);
            assert!(wait >= BASE && wait <= LONGEST.min(last * 3), "{wait:?} after {last:?}");
            last = wait;
        }
        tenth.push(last.as_secs_f64());
        let thrown_out = backoff.next_attempt(now, Ended::ThrownOut, Duration::ZERO).duration_since(now);
        assert!(thrown_out >= LONG / 2 + BASE && thrown_out <= LONG * 3 / 2 + LONGEST, "{thrown_out:?}");
        let stable = backoff.next_attempt(now, Ended::Stable, Duration::ZERO).duration_since(now);
        assert!(stable >= SHORTEST_AFTER_STABLE && stable <= BASE, "{stable:?}: a box alone is back at once");
    }
    let mean = tenth.iter().sum::<f64>() / 1000.0;
    assert!((20.0..50.0).contains(&mean), "the tenth wait has a mean of {mean} s");
    for quarter in 0..3 {
        let share = tenth
            .iter()
            .filter(|wait| {
                (**wait - 1.0) / 15.0 >= f64::from(quarter) && (**wait - 1.0) / 15.0 < f64::from(quarter + 1)
            })
            .count();
        assert!(share > 30, "{share} of 1000 in quarter {quarter}: the waits are spread");
    }
}

/// Reconnects of boxes that lose a broker at the same time, for `outage` seconds: the highest count within a second.
fn peak(boxes: u32, spread: f64, outage: f64) -> f64 {
    let mut seconds = std::collections::BTreeMap::<u64, u32>::new();
    for seed in 0..boxes {
        let mut backoff = backoff(u64::from(seed));
        let (spread, mut ended) = (Duration::from_secs_f64(spread), Ended::Stable);
        let mut now = secs(1000.0);
        let back = loop {
            let next = backoff.next_attempt(now, ended, spread);
            backoff.begin(next);
            if next >= secs(1000.0 + outage) {
                break next;
            }
            (now, ended) = (next.saturating_add(Duration::from_millis(5)), Ended::Failed);
        };
        *seconds.entry(back.duration_since(secs(1000.0)).as_secs()).or_default() += 1;
    }
    f64::from(*seconds.values().max().unwrap())
}

#[test]
fn a_fleet_comes_back_evenly_whether_the_broker_was_away_for_a_second_or_an_hour() {
    for (boxes, spread) in [(200, 10.0), (2000, 20.0), (2000, 60.0), (20_000, 300.0)] {
        for outage in [0.5, 2.0, spread / 2.0, spread, spread * 3.0, 1800.0] {
            let ratio = peak(boxes, spread, outage) / (f64::from(boxes) / spread);
            assert!(ratio <= 2.0, "{boxes} boxes, spread {spread} s, away {outage} s: {ratio:.2} times the even rate");
        }
    }
    assert!(peak(2000, 0.0, 0.2) >= 1900.0, "without a spread they do come at once");
}
