//! What was not delivered is kept, encrypted; what was is not.

use super::age::tests::{decrypt, operator};
use super::*;
use crate::capture::media::{Frame, Track};
use crate::capture::queue::QueueLimits;

/// What pictures are made of here: a raw disk must not have it.
const MARK: &[u8] = b"plain-footage-mark-5a5a";

fn picture(millis: u64, size: usize) -> Frame {
    gst::init().unwrap();
    let body: Vec<u8> = MARK.iter().copied().cycle().take(size).collect();
    let mut buffer = gst::Buffer::from_slice(body);
    let edit = buffer.make_mut();
    edit.set_pts(gst::ClockTime::from_mseconds(millis));
    edit.set_dts(gst::ClockTime::from_mseconds(millis));
    if !millis.is_multiple_of(1000) {
        edit.set_flags(gst::BufferFlags::DELTA_UNIT);
    }
    Frame { track: Track::Video, buffer, caps: None }
}

struct Shop {
    dir: tempfile::TempDir,
    queue: Arc<FrameQueue>,
    keeper: Option<FootageKeeper>,
}

impl Shop {
    fn new(max_bytes: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let hour = Duration::from_hours(1);
        let bytes = usize::try_from(max_bytes).unwrap();
        let queue = Arc::new(FrameQueue::new(QueueLimits { bytes, duration: hour, catch_up: hour }, None));
        let settings = FootageSettings {
            recipient: operator(dir.path()),
            dir: dir.path().join(FOLDER),
            session: 7,
            max_bytes,
            bitrates: StreamBitrates { video_kbps: 1000, audio_kbps: Some(128) },
        };
        let keeper = Some(FootageKeeper::start(queue.clone(), settings, true).unwrap());
        Self { dir, queue, keeper }
    }

    fn push(&self, from: u64, to: u64, size: usize) {
        (from..to).step_by(100).for_each(|millis| self.queue.push(picture(millis, size)));
    }

    fn end(&mut self) {
        self.keeper.as_ref().unwrap().end();
        self.keeper = None;
    }

    /// Names in the folder, in order.
    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.dir.path().join(FOLDER)).into_iter().flatten();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// What the operator reads.
    fn decrypted(&self, name: &str) -> Vec<u8> {
        let read = decrypt(self.dir.path(), &self.dir.path().join(FOLDER).join(name));
        assert!(read.status.success(), "{read:?}");
        read.stdout
    }
}

#[test]
fn what_waits_when_the_session_ends_is_kept_for_the_operator_alone() {
    let mut shop = Shop::new(64 << 20);
    shop.push(0, 1000, 5000);
    shop.queue.begin_outage();
    shop.push(1000, 9000, 5000);
    assert_eq!(shop.names(), [""; 0], "as long as it may be delivered it has no name");
    shop.end();
    assert_eq!(shop.names(), ["7-1.age"]);
    let sealed = std::fs::read(shop.dir.path().join(FOLDER).join("7-1.age")).unwrap();
    assert!(!sealed.windows(MARK.len()).any(|part| part == MARK));
    let plain = shop.decrypted("7-1.age");
    assert!(plain.starts_with(b"FLV\x01") && plain.len() > 80 * 5000, "{}", plain.len());
    // A tag begins with its type and length, and is followed by its size.
    let (mut at, mut tags) = (13, 0);
    while at < plain.len() {
        let length = usize::try_from(u32::from_be_bytes([0, plain[at + 1], plain[at + 2], plain[at + 3]])).unwrap();
        let size = u32::from_be_bytes(plain[at + 11 + length..][..4].try_into().unwrap());
        assert_eq!(usize::try_from(size).unwrap(), length + 11);
        (at, tags) = (at + length + 15, tags + 1);
    }
    assert_eq!((at, tags), (plain.len(), 92), "metadata, the audio's configuration, and 90 pictures");
}

#[test]
fn what_was_delivered_or_never_waited_leaves_nothing() {
    let mut shop = Shop::new(64 << 20);
    shop.push(0, 2000, 5000);
    shop.end();
    assert_eq!(shop.names(), [""; 0], "a session without an outage");
    let mut shop = Shop::new(64 << 20);
    shop.queue.begin_outage();
    shop.push(0, 5000, 5000);
    shop.queue.end_outage();
    while shop.queue.pop(Duration::ZERO).is_some() {}
    shop.push(5000, 6000, 5000);
    while shop.queue.pop(Duration::ZERO).is_some() {}
    shop.end();
    assert_eq!(shop.names(), [""; 0], "it was caught up with");
    // The process broke off: nobody said that the session is over.
    let mut shop = Shop::new(64 << 20);
    shop.queue.begin_outage();
    shop.push(0, 5000, 5000);
    shop.keeper = None;
    assert_eq!(shop.names(), [""; 0]);
}

#[test]
fn there_is_a_bound_and_the_oldest_go_first() {
    let mut shop = Shop::new(1 << 20);
    shop.queue.begin_outage();
    for second in 0..60 {
        shop.push(second * 1000, second * 1000 + 1000, 10_000);
        // As slowly as a camera, or the thread would miss some.
        while shop.queue.has_to_keep() {
            std::thread::yield_now();
        }
    }
    shop.end();
    let names = shop.names();
    let total: u64 =
        names.iter().map(|name| std::fs::metadata(shop.dir.path().join(FOLDER).join(name)).unwrap().len()).sum();
    assert!(names.len() > 4 && total <= 1 << 20 && total > 1 << 19, "{names:?} {total}");
    for name in &names {
        assert!(shop.decrypted(name).starts_with(b"FLV\x01"), "each can be played by itself");
    }
}

#[test]
fn a_disk_that_takes_nothing_stalls_nobody() {
    let mut shop = Shop::new(64 << 20);
    std::fs::write(shop.dir.path().join(FOLDER), "no folder").unwrap();
    shop.queue.begin_outage();
    shop.push(0, 5000, 5000);
    shop.end();
    assert_eq!(shop.queue.pop(Duration::ZERO).map(|frame| frame.is_keyframe()), Some(true));
}
