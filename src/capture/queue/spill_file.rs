//! Frames that wait on disk during an outage: in a file without a name, that is gone with the process, sealed with a
//! key that never leaves its memory.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use gstreamer as gst;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use rustix::fs::{Mode, OFlags};

use crate::capture::queue::{Frame, Queue};

/// How long the thread sleeps at most: then it sees that it is over.
const LOOK: Duration = Duration::from_millis(100);

/// Where a sealed frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    offset: u64,
    length: usize,
    nonce: u64,
}

/// The file and its key.
pub(crate) struct Vault {
    file: File,
    key: LessSafeKey,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Vault")
    }
}

impl Vault {
    /// Makes one in `dir`, whose file system has to know files without a name (ext4, xfs, btrfs, tmpfs do).
    pub(crate) fn open_in(dir: &Path) -> std::io::Result<Self> {
        // EXCL: it cannot be given a name later either.
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::EXCL | OFlags::CLOEXEC;
        let file = rustix::fs::open(dir, flags, Mode::RUSR | Mode::WUSR)?.into();
        let mut key = [0; 32];
        let broken = |_| std::io::Error::other("no random numbers");
        SystemRandom::new().fill(&mut key).map_err(broken)?;
        // ChaCha20: a Raspberry Pi 4 has no AES in hardware.
        let key = LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, &key).map_err(broken)?);
        Ok(Self { file, key })
    }

    /// The frame without its data.
    pub(crate) fn shell(frame: &Frame) -> Frame {
        let mut buffer = gst::Buffer::new();
        if let Some(edit) = buffer.get_mut() {
            edit.set_pts(frame.buffer.pts());
            edit.set_dts(frame.buffer.dts());
            edit.set_duration(frame.buffer.duration());
            edit.set_flags(frame.buffer.flags());
        }
        Frame { track: frame.track, buffer, caps: frame.caps.clone() }
    }

    fn seal(&self, frame: &Frame, offset: u64, nonce: u64) -> std::io::Result<Place> {
        let unreadable = |_| std::io::Error::other("a frame cannot be read");
        let mut data = frame.buffer.map_readable().map_err(unreadable)?.to_vec();
        let broken = |_| std::io::Error::other("a frame cannot be sealed");
        self.key.seal_in_place_append_tag(numbered(nonce), Aad::empty(), &mut data).map_err(broken)?;
        self.file.write_all_at(&data, offset)?;
        Ok(Place { offset, length: data.len(), nonce })
    }

    /// The frame whose `shell` waited for it.
    pub(crate) fn open(&self, place: Place, shell: &Frame) -> std::io::Result<Frame> {
        let mut data = vec![0; place.length];
        self.file.read_exact_at(&mut data, place.offset)?;
        let broken = |_| std::io::Error::other("the disk gave back something else than was written");
        let length = self.key.open_in_place(numbered(place.nonce), Aad::empty(), &mut data).map_err(broken)?.len();
        data.truncate(length);
        let mut frame = shell.clone();
        frame.buffer.make_mut().append_memory(gst::Memory::from_mut_slice(data));
        Ok(frame)
    }
}

/// Each number is used once with a key that is used by one process.
fn numbered(number: u64) -> Nonce {
    let mut nonce = [0; NONCE_LEN];
    nonce[..8].copy_from_slice(&number.to_le_bytes());
    Nonce::assume_unique_for_key(nonce)
}

/// The thread that writes, so that neither camera nor network ever wait for the disk. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Keeper {
    over: Arc<()>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.over = Arc::new(());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Keeper {
    /// Writes what waits in `queue` into `vault`, which holds `size` bytes.
    pub(crate) fn start(queue: Arc<Queue>, vault: Arc<Vault>, size: usize) -> std::io::Result<Self> {
        let over = Arc::new(());
        let ends = Arc::downgrade(&over);
        let writer = Writer { queue, vault, size: size as u64, at: 0, nonce: 0, empty: true, full: false };
        let thread = std::thread::Builder::new().name("outage-buffer".to_owned()).spawn(move || {
            let mut writer = writer;
            while ends.strong_count() > 0 {
                writer.step();
            }
        })?;
        Ok(Self { over, thread: Some(thread) })
    }
}

struct Writer {
    queue: Arc<Queue>,
    vault: Arc<Vault>,
    size: u64,
    /// Where the next frame goes.
    at: u64,
    nonce: u64,
    empty: bool,
    full: bool,
}

impl Writer {
    fn step(&mut self) {
        let (next, oldest) = self.queue.to_seal(LOOK);
        let Some((serial, frame)) = next else {
            if oldest.is_none() && !std::mem::replace(&mut self.empty, true) {
                // Nothing waits: the disk gets its room back.
                (self.at, self.full) = (0, false);
                if let Err(error) = self.vault.file.set_len(0) {
                    tracing::warn!("the outage buffer's file does not shrink: {error}");
                }
            }
            return;
        };
        if self.full {
            // Frames wait in memory then, a bounded number. Woken by each, this thread would only spin.
            std::thread::park_timeout(LOOK);
        }
        let length = (frame.buffer.size() + CHACHA20_POLY1305.tag_len()) as u64;
        let Some(offset) = self.room(length, oldest) else { return self.queue.make_room() };
        self.nonce += 1;
        match self.vault.seal(&frame, offset, self.nonce) {
            Ok(place) => {
                (self.empty, self.full) = (false, false);
                self.at = offset + length;
                self.queue.sealed(serial, place);
            }
            Err(error) => {
                self.empty = false;
                if !std::mem::replace(&mut self.full, true) {
                    tracing::warn!(
                        "the outage buffer on disk takes no more ({error}): the oldest pictures are dropped"
                    );
                }
            }
        }
    }

    /// A ring: behind the newest, in front of the oldest that is in use.
    fn room(&self, length: u64, oldest: Option<Place>) -> Option<u64> {
        match oldest.map(|place| place.offset) {
            None => (length <= self.size).then_some(0),
            Some(first) if self.at > first && self.at + length <= self.size => Some(self.at),
            Some(first) if self.at > first => (length < first).then_some(0),
            Some(first) => (self.at + length < first).then_some(self.at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::queue::tests::{film, times};
    use crate::capture::queue::{Bounds, Track};

    const MIB: usize = 1024 * 1024;

    fn queue(dir: &Path, bytes: usize) -> (Arc<Queue>, Arc<Vault>, Keeper) {
        let vault = Arc::new(Vault::open_in(dir).unwrap());
        let hour = Duration::from_hours(1);
        let queue = Arc::new(Queue::new(Bounds { bytes, span: hour, catch_up: hour }, Some(vault.clone())));
        let keeper = Keeper::start(queue.clone(), vault.clone(), bytes).unwrap();
        (queue, vault, keeper)
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

    /// Those that must be on disk are.
    fn until_written(queue: &Queue) {
        until("it is written", || queue.to_seal(Duration::ZERO).0.is_none());
    }

    #[test]
    fn what_waits_is_on_disk_unreadable_and_nameless_and_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        let (queue, vault, _keeper) = queue(dir.path(), 4 * MIB);
        queue.hold();
        (0..60).for_each(|number| queue.put(picture(number * 100, 10_000)));
        until_written(&queue);
        let length = vault.file.metadata().unwrap().len();
        assert!(length > 30 * 10_000, "{length}: the newest two seconds stay in memory");
        let mut data = vec![0; usize::try_from(length).unwrap()];
        vault.file.read_exact_at(&mut data, 0).unwrap();
        assert!(!data.windows(4).any(|part| part == [0x5a; 4] || part == [0, 0, 0, 1]));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        queue.resume();
        for number in 0..60 {
            let frame = queue.take(Duration::ZERO).unwrap();
            assert_eq!(frame.buffer.pts().unwrap().mseconds(), number * 100);
            assert_eq!(frame.is_keyframe(), number % 10 == 0);
            assert_eq!(frame.buffer.map_readable().unwrap().as_slice(), pattern(10_000));
        }
        until("the disk has its room back", || vault.file.metadata().unwrap().len() == 0);
    }

    #[test]
    fn the_ring_goes_round_within_its_bound() {
        let dir = tempfile::tempdir().unwrap();
        let (queue, vault, _keeper) = queue(dir.path(), MIB);
        queue.hold();
        for number in 0..400 {
            queue.put(picture(number * 100, 10_000 + usize::try_from(number).unwrap()));
            until_written(&queue);
        }
        assert!(vault.file.metadata().unwrap().len() <= MIB as u64);
        queue.resume();
        let found = times(&queue);
        assert!(found.len() > 60 && found[0].is_multiple_of(1000), "{}", found.len());
        assert_eq!(found, (found[0]..40_000).step_by(100).collect::<Vec<_>>());
    }

    #[test]
    fn a_full_disk_costs_the_oldest_and_stalls_nobody() {
        let dir = tempfile::tempdir().unwrap();
        // A file that takes nothing, as on a disk that is full.
        let full = File::options().read(true).write(true).open("/dev/full").unwrap();
        let vault = Arc::new(Vault { file: full, ..Vault::open_in(dir.path()).unwrap() });
        let hour = Duration::from_hours(1);
        let bounds = Bounds { bytes: 256 * MIB, span: hour, catch_up: hour };
        let queue = Arc::new(Queue::new(bounds, Some(vault.clone())));
        let _keeper = Keeper::start(queue.clone(), vault, 256 * MIB).unwrap();
        queue.hold();
        film(&queue, 0, 200_000, 10_000);
        assert!(queue.dropped() > 1000, "{}", queue.dropped());
        queue.resume();
        let found = times(&queue);
        assert!(found.len() > 500 && found.last() == Some(&199_900), "8 MiB in memory: {}", found.len());
    }
}
