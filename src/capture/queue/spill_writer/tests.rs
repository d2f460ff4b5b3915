//! An outage on disk, with a real file.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use gstreamer as gst;

use super::*;
use crate::capture::media::{Frame, Track};
use crate::capture::queue::QueueLimits;
use crate::capture::queue::tests::{pop_times, push_video};

const MIB: usize = 1024 * 1024;

fn queue(dir: &Path, bytes: usize) -> (Arc<FrameQueue>, Arc<SpillFile>, SpillWriter) {
    let spill_file = Arc::new(SpillFile::open_in(dir).unwrap());
    let hour = Duration::from_hours(1);
    let queue =
        Arc::new(FrameQueue::new(QueueLimits { bytes, duration: hour, catch_up: hour }, Some(spill_file.clone())));
    let writer = SpillWriter::start(queue.clone(), spill_file.clone(), bytes).unwrap();
    (queue, spill_file, writer)
}

fn pattern(size: usize) -> Vec<u8> {
    [0, 0, 0, 1, 0x65].into_iter().chain(std::iter::repeat(0x5a)).take(size).collect()
}

fn picture(millis: u64, size: usize) -> Frame {
    let mut frame = crate::capture::queue::tests::frame(Track::Video, millis, millis.is_multiple_of(1000), 0);
    frame.buffer.make_mut().append_memory(gst::Memory::from_slice(pattern(size)));
    frame
}

fn until(what: &str, mut probe: impl FnMut() -> bool) {
    for _ in 0..60_000 {
        if probe() {
            return;
        }
        std::thread::park_timeout(Duration::from_millis(1));
    }
    panic!("{what}: not within a minute");
}

/// Waits until all frames that are old enough are spilled.
fn until_written(queue: &FrameQueue) {
    until("it is written", || queue.next_to_spill(Duration::ZERO).0.is_none());
}

#[test]
fn what_waits_is_on_disk_unreadable_and_nameless_and_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let (queue, spill_file, _writer) = queue(dir.path(), 4 * MIB);
    queue.begin_outage();
    (0..60).for_each(|number| queue.push(picture(number * 100, 10_000)));
    until_written(&queue);
    let length = spill_file.file.metadata().unwrap().len();
    assert!(length > 30 * 10_000, "{length}: the newest two seconds stay in memory");
    let mut data = vec![0; usize::try_from(length).unwrap()];
    spill_file.file.read_exact_at(&mut data, 0).unwrap();
    assert!(!data.windows(4).any(|part| part == [0x5a; 4] || part == [0, 0, 0, 1]));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    queue.end_outage();
    for number in 0..60 {
        let frame = queue.pop(Duration::ZERO).unwrap();
        assert_eq!(frame.buffer.pts().unwrap().mseconds(), number * 100);
        assert_eq!(frame.is_keyframe(), number % 10 == 0);
        assert_eq!(frame.buffer.map_readable().unwrap().as_slice(), pattern(10_000));
    }
    until("the disk has its room back", || spill_file.file.metadata().unwrap().len() == 0);
}

#[test]
fn the_ring_goes_round_within_its_bound() {
    let dir = tempfile::tempdir().unwrap();
    let (queue, spill_file, _writer) = queue(dir.path(), MIB);
    queue.begin_outage();
    for number in 0..400 {
        queue.push(picture(number * 100, 10_000 + usize::try_from(number).unwrap()));
        until_written(&queue);
    }
    assert!(spill_file.file.metadata().unwrap().len() <= MIB as u64);
    queue.end_outage();
    let found = pop_times(&queue);
    assert!(found.len() > 60 && found[0].is_multiple_of(1000), "{}", found.len());
    assert_eq!(found, (found[0]..40_000).step_by(100).collect::<Vec<_>>());
}

#[test]
fn a_full_disk_costs_the_oldest_and_stalls_nobody() {
    let dir = tempfile::tempdir().unwrap();
    // A file that accepts no data, as on a full disk.
    let full = File::options().read(true).write(true).open("/dev/full").unwrap();
    let spill_file = Arc::new(SpillFile { file: full, ..SpillFile::open_in(dir.path()).unwrap() });
    let hour = Duration::from_hours(1);
    let limits = QueueLimits { bytes: 256 * MIB, duration: hour, catch_up: hour };
    let queue = Arc::new(FrameQueue::new(limits, Some(spill_file.clone())));
    let _writer = SpillWriter::start(queue.clone(), spill_file, 256 * MIB).unwrap();
    queue.begin_outage();
    push_video(&queue, 0, 200_000, 10_000);
    assert!(queue.dropped_frames() > 1000, "{}", queue.dropped_frames());
    queue.end_outage();
    let found = pop_times(&queue);
    assert!(found.len() > 500 && found.last() == Some(&199_900), "8 MiB in memory: {}", found.len());
}
