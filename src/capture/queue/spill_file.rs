//! The file for frames of an outage. It has no name, is gone with the process, and is encrypted with a key that exists
//! only in this process's memory.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use gstreamer as gst;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use rustix::fs::{Mode, OFlags};

use crate::capture::media::Frame;

/// Where an encrypted frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SpillSlot {
    pub(super) offset: u64,
    length: usize,
    nonce: u64,
}

/// The file and its key.
pub(crate) struct SpillFile {
    pub(super) file: File,
    pub(super) key: LessSafeKey,
}

impl std::fmt::Debug for SpillFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SpillFile")
    }
}

impl SpillFile {
    /// Creates the file in `dir`, whose file system has to support unnamed files (ext4, xfs, btrfs and tmpfs do).
    pub(crate) fn open_in(dir: &Path) -> std::io::Result<Self> {
        // EXCL: nobody can give it a name later.
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::EXCL | OFlags::CLOEXEC;
        let file = rustix::fs::open(dir, flags, Mode::RUSR | Mode::WUSR)?.into();
        let mut key = [0; 32];
        let broken = |_| std::io::Error::other("no random numbers");
        SystemRandom::new().fill(&mut key).map_err(broken)?;
        // ChaCha20: a Raspberry Pi 4 has no AES in hardware.
        let key = LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, &key).map_err(broken)?);
        Ok(Self { file, key })
    }

    pub(super) fn write(&self, frame: &Frame, offset: u64, nonce: u64) -> std::io::Result<SpillSlot> {
        let unreadable = |_| std::io::Error::other("a frame cannot be read");
        let mut data = frame.buffer.map_readable().map_err(unreadable)?.to_vec();
        let broken = |_| std::io::Error::other("a frame cannot be sealed");
        self.key.seal_in_place_append_tag(nonce_from_counter(nonce), Aad::empty(), &mut data).map_err(broken)?;
        self.file.write_all_at(&data, offset)?;
        Ok(SpillSlot { offset, length: data.len(), nonce })
    }

    /// Reads the frame in `slot`, whose other fields are those of `metadata`.
    pub(crate) fn read(&self, slot: SpillSlot, metadata: &Frame) -> std::io::Result<Frame> {
        let mut data = vec![0; slot.length];
        self.file.read_exact_at(&mut data, slot.offset)?;
        let broken = |_| std::io::Error::other("the disk gave back something else than was written");
        let length =
            self.key.open_in_place(nonce_from_counter(slot.nonce), Aad::empty(), &mut data).map_err(broken)?.len();
        data.truncate(length);
        let mut frame = metadata.clone();
        frame.buffer.make_mut().append_memory(gst::Memory::from_mut_slice(data));
        Ok(frame)
    }
}

/// Each counter is used once, with a key that one process uses.
fn nonce_from_counter(number: u64) -> Nonce {
    let mut nonce = [0; NONCE_LEN];
    nonce[..8].copy_from_slice(&number.to_le_bytes());
    Nonce::assume_unique_for_key(nonce)
}
