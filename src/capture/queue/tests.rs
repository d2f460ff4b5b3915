//! The queue while live, in an outage, and while it catches up.

use super::*;

pub(crate) fn frame(track: Track, millis: u64, key: bool, size: usize) -> Frame {
    gst::init().unwrap();
    let mut buffer = gst::Buffer::with_size(size).unwrap();
    let edit = buffer.get_mut().unwrap();
    edit.set_pts(gst::ClockTime::from_mseconds(millis));
    if !key {
        edit.set_flags(gst::BufferFlags::DELTA_UNIT);
    }
    Frame { track, buffer, caps: None }
}

pub(crate) fn pop_times(queue: &FrameQueue) -> Vec<u64> {
    std::iter::from_fn(|| queue.pop(Duration::ZERO)).filter_map(|frame| Some(frame.buffer.pts()?.mseconds())).collect()
}

/// A picture every 100 ms, every tenth a keyframe.
pub(crate) fn push_video(queue: &FrameQueue, from: u64, to: u64, size: usize) {
    for millis in (from..to).step_by(100) {
        queue.push(frame(Track::Video, millis, millis.is_multiple_of(1000), size));
    }
}

fn buffering(bytes: usize, span: u64, catch_up: u64) -> FrameQueue {
    let limits = QueueLimits { bytes, duration: Duration::from_secs(span), catch_up: Duration::from_secs(catch_up) };
    FrameQueue::new(limits, None)
}

#[test]
fn an_overflow_goes_on_at_a_keyframe() {
    let queue = FrameQueue::default();
    queue.push(frame(Track::Video, 0, true, 10));
    queue.push(frame(Track::Audio, 5, true, 10));
    queue.push(frame(Track::Video, 1000, false, 10));
    queue.push(frame(Track::Video, 2001, false, 10));
    queue.push(frame(Track::Audio, 2010, true, 10));
    assert!(queue.take_keyframe_request() && !queue.take_keyframe_request());
    queue.push(frame(Track::Video, 2034, true, 10));
    queue.push(frame(Track::Audio, 2040, true, 10));
    assert_eq!(queue.dropped_frames(), 3);
    assert_eq!(pop_times(&queue), [2034, 2040]);
}

#[test]
fn bundled_sound_waits_for_a_picture_but_not_for_ever() {
    let queue = Arc::new(FrameQueue::default());
    queue.push(frame(Track::Audio, 0, true, 10));
    assert_eq!(queue.pop_batched(Duration::ZERO).map(|frame| frame.track), Some(Track::Audio));
    let taken = std::thread::spawn({
        let queue = queue.clone();
        move || (queue.pop_batched(Duration::from_mins(1)).map(|frame| frame.track), queue.queued_bytes())
    });
    queue.push(frame(Track::Audio, 20, true, 10));
    queue.push(frame(Track::Video, 33, true, 1000));
    assert_eq!(taken.join().unwrap(), (Some(Track::Audio), 1000), "the picture was there when the sound was taken");
}

#[test]
fn bytes_are_bounded_too() {
    let queue = FrameQueue::default();
    for number in 0..100 {
        queue.push(frame(Track::Video, number, true, MAX_LIVE_BYTES / 4));
        assert!(queue.lock().bytes <= MAX_LIVE_BYTES);
    }
    assert!(queue.dropped_frames() > 90);
}

#[test]
fn a_short_outage_loses_nothing_behind_the_keyframe_that_it_asks_for() {
    let queue = buffering(MAX_LIVE_BYTES, 600, 10);
    queue.push(frame(Track::Video, 0, true, 10));
    queue.push(frame(Track::Video, 100, false, 10));
    assert_eq!(queue.pop(Duration::ZERO).map(|frame| frame.is_keyframe()), Some(true));
    queue.begin_outage();
    assert!(queue.take_keyframe_request(), "the rest of a picture that the server has no more is of no use");
    push_video(&queue, 1000, 9000, 10);
    queue.begin_outage();
    queue.end_outage();
    push_video(&queue, 9000, 12_000, 10);
    assert_eq!(pop_times(&queue), (1000..12_000).step_by(100).collect::<Vec<_>>());
    assert_eq!(queue.lock().mode, QueueMode::Live);
    assert_eq!(queue.dropped_frames(), 1);
}

#[test]
fn after_a_long_one_it_goes_on_at_the_live_edge() {
    let queue = buffering(MAX_LIVE_BYTES, 600, 10);
    queue.begin_outage();
    push_video(&queue, 1000, 15_500, 10);
    queue.end_outage();
    assert_eq!(pop_times(&queue), [15_000, 15_100, 15_200, 15_300, 15_400]);
    assert_eq!(queue.dropped_frames(), 140);
}

#[test]
fn who_does_not_catch_up_jumps_too() {
    let queue = buffering(MAX_LIVE_BYTES, 600, 10);
    queue.begin_outage();
    push_video(&queue, 1000, 5000, 10);
    queue.end_outage();
    // Until 4.9 s, plus three times the 3.9 s that are queued, plus 5 s.
    push_video(&queue, 5000, 21_600, 10);
    assert_eq!(queue.duration().mseconds(), 20_500, "it may take its time");
    push_video(&queue, 21_600, 21_800, 10);
    assert_eq!(pop_times(&queue), (21_000..21_800).step_by(100).collect::<Vec<_>>());
}

#[test]
fn what_waits_is_bounded_in_bytes_and_time_and_drops_the_oldest() {
    let queue = buffering(5000, 600, 600);
    queue.begin_outage();
    push_video(&queue, 0, 100_000, 100);
    assert!(queue.lock().bytes <= 5000 && queue.lock().bytes > 3900);
    assert!(queue.lock().frames.front().unwrap().frame.is_keyframe());
    let queue = buffering(MAX_LIVE_BYTES, 5, 600);
    queue.begin_outage();
    push_video(&queue, 0, 100_000, 100);
    assert!((3900..=5000).contains(&queue.duration().mseconds()), "{}", queue.duration());
}

#[test]
fn a_connection_that_never_was_gives_back_what_it_was_given() {
    let queue = buffering(MAX_LIVE_BYTES, 600, 10);
    push_video(&queue, 0, 1000, 10);
    let given: Vec<Frame> = (0..5).filter_map(|_| queue.pop(Duration::ZERO)).collect();
    queue.requeue(given);
    queue.begin_outage();
    assert_eq!(pop_times(&queue), (0..1000).step_by(100).collect::<Vec<_>>());
}
