use super::*;

const STEP: Duration = Duration::from_millis(50);
/// Frames from one keyframe to the next.
const INTERVAL: usize = 40;

fn watchdog() -> EncoderWatchdog {
    EncoderWatchdog::new(Duration::from_secs(3), u32::try_from(INTERVAL).unwrap())
}

/// Plays `frames` (size and whether it is a keyframe, or nothing), one every 50 ms. Returns what is found, and at which
/// frame.
fn play(frames: impl IntoIterator<Item = Option<(usize, bool)>>) -> Option<(usize, EncoderStall)> {
    let mut watchdog = watchdog();
    let mut now = Monotonic::default();
    frames.into_iter().enumerate().find_map(|(number, frame)| {
        now = now.saturating_add(STEP);
        watchdog.input_started(now);
        watchdog.input_done(now);
        if let Some((size, is_keyframe)) = frame {
            watchdog.output(size, is_keyframe);
            watchdog.parsed(is_keyframe);
        }
        Some((number, watchdog.check(now)?))
    })
}

/// The size of a delta frame, which varies.
fn delta(number: usize) -> usize {
    700 + number % 13
}

#[allow(clippy::unnecessary_wraps)] // as `play` takes them
fn healthy(number: usize) -> Option<(usize, bool)> {
    let is_keyframe = number.is_multiple_of(INTERVAL);
    Some((if is_keyframe { 9_000 } else { delta(number) }, is_keyframe))
}

#[test]
fn a_healthy_encoder_is_left_alone() {
    assert_eq!(play((0..10_000).map(healthy)), None);
}

#[test]
fn a_still_dark_picture_is_healthy() {
    let frame = |number: usize| if number.is_multiple_of(INTERVAL) { (300, true) } else { (31, false) };
    assert_eq!(play((0..1000).map(|number| Some(frame(number)))), None);
}

#[test]
fn keyframes_alone_may_have_one_size() {
    // There is no delta frame to compare them with.
    assert_eq!(play((0..1000).map(|_| Some((300, true)))), None);
}

#[test]
fn a_keyframe_may_be_late_by_an_interval_and_a_half() {
    assert_eq!(play((0..1000).map(|number| Some((delta(number), number % 100 == 0)))), None);
}

#[test]
fn silence_is_found_after_three_seconds() {
    assert_eq!(play((0..1000).map(|_| None)), Some((60, EncoderStall::Silent)), "from the start");
    let later = play((0..1000).map(|number| healthy(number).filter(|_| number < 100)));
    assert_eq!(later, Some((158, EncoderStall::Silent)));
}

#[test]
fn an_encoder_that_accepts_no_picture_is_silent_too() {
    let mut watchdog = watchdog();
    let mut now = Monotonic::default();
    watchdog.input_started(now);
    let mut checks = 0;
    while watchdog.check(now).is_none() {
        (now, checks) = (now.saturating_add(STEP), checks + 1);
        assert!(checks < 100);
    }
    assert_eq!(checks, 60);
}

#[test]
fn a_silent_source_is_not_the_encoders_fault() {
    let mut watchdog = watchdog();
    let mut now = Monotonic::default();
    watchdog.input_started(now);
    watchdog.input_done(now);
    for _ in 0..1000 {
        now = now.saturating_add(STEP);
        assert_eq!(watchdog.check(now), None);
    }
}

#[test]
fn time_in_which_the_process_did_not_run_does_not_count() {
    let mut watchdog = watchdog();
    let now = Monotonic::default();
    watchdog.check(now);
    watchdog.input_started(now);
    assert_eq!(watchdog.check(now.saturating_add(Duration::from_mins(1))), None);
}

#[test]
fn missing_keyframes_are_found_within_three_intervals() {
    let found = play((0..1000).map(|number| Some((delta(number), number == 0))));
    assert_eq!(found, Some((121, EncoderStall::NoKeyframe)));
}

#[test]
fn frames_of_one_size_are_found_once_a_keyframe_is_among_them() {
    let found = play((0..1000).map(|number: usize| Some((4096, number.is_multiple_of(INTERVAL)))));
    assert_eq!(found, Some((40, EncoderStall::ConstantSize)));
}
