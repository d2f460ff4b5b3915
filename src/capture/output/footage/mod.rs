//! What waits during an outage, encrypted to the operator's key as well: only where that is configured, and only what
//! was never delivered gets a name when the session ends. Until then the files have none, and go with the process.

mod age;
mod flv_file;

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use gstreamer as gst;
use rustix::fs::{AtFlags, CWD, Mode, OFlags};

use crate::capture::output::rtmp::StreamBitrates;
use crate::capture::queue::{FrameQueue, Waiting};
use crate::config::{AgeRecipient, Config};
use crate::worker::{OnDrop, SpawnError, Stop, Worker};
use flv_file::FlvFile;

/// Footage, in `data-dir`.
const FOLDER: &str = "footage";
/// The thread waits for a frame at most this long.
const MAX_WAIT: Duration = Duration::from_millis(100);
/// A file has at least this part of what may be kept: so much more is dropped at once where there is too much.
const FILES: u64 = 8;
/// Names that are tried for a file.
const MOST_NAMES: u32 = 1_000;

/// What is kept of one destination's outages.
#[derive(Clone, Debug)]
pub(super) struct FootageSettings {
    recipient: AgeRecipient,
    dir: PathBuf,
    session: u64,
    max_bytes: u64,
    bitrates: StreamBitrates,
}

impl FootageSettings {
    /// `None`: nothing is kept. `has_aac`: the destination's sound is one that the file can have.
    pub(super) fn of(config: &Config, session: u64, has_aac: bool) -> Option<Self> {
        let recipient = config.privacy.footage_recipient.filter(|_| config.keeps_footage())?;
        let bitrates = StreamBitrates {
            video_kbps: config.video.bitrate_kbps,
            audio_kbps: has_aac.then_some(config.audio.bitrate_kbps),
        };
        let max_bytes = u64::from(config.ingest.outage.size_mib) * 1024 * 1024;
        Some(Self { recipient, dir: config.device.data_dir.join(FOLDER), session, max_bytes, bitrates })
    }
}

/// The thread that writes footage, owned. Dropping it waits for its end.
#[derive(Debug)]
pub(super) struct FootageKeeper {
    queue: Arc<FrameQueue>,
    _thread: Worker,
}

impl FootageKeeper {
    /// Keeps what waits in `queue`.
    pub(super) fn start(
        queue: Arc<FrameQueue>,
        mut settings: FootageSettings,
        has_audio: bool,
    ) -> Result<Self, SpawnError> {
        settings.bitrates.audio_kbps = settings.bitrates.audio_kbps.filter(|_| has_audio);
        queue.start_keeping();
        let writer = Writer { settings, current: None, complete: VecDeque::new(), has_failed: false };
        let source = queue.clone();
        let thread = Worker::spawn("footage", OnDrop::Join, move |stop: &Stop| writer.run(&source, stop))?;
        Ok(Self { queue, _thread: thread })
    }

    /// The session ends: what waits now is what could not be delivered.
    pub(super) fn end(&self) {
        self.queue.end_keeping();
    }
}

/// A file that is complete and has no name.
struct Unnamed {
    file: File,
    bytes: u64,
    last: gst::ClockTime,
}

struct Writer {
    settings: FootageSettings,
    current: Option<FlvFile>,
    /// Oldest first.
    complete: VecDeque<Unnamed>,
    has_failed: bool,
}

impl Writer {
    fn run(mut self, queue: &FrameQueue, stop: &Stop) {
        loop {
            let Waiting { frame, has_gap, oldest, is_ended } = queue.next_to_keep(MAX_WAIT);
            if has_gap {
                self.complete_current();
            }
            match frame {
                Some(frame) => self.add(&frame),
                None if is_ended => return self.keep(oldest),
                // Without an end that was told nothing is kept: a session that broke off has no end.
                None if stop.is_requested() => return,
                None => {}
            }
            self.forget_before(oldest);
        }
    }

    fn add(&mut self, frame: &crate::capture::media::Frame) {
        let least = self.settings.max_bytes / FILES;
        if frame.is_keyframe() && self.current.as_ref().is_none_or(|file| file.bytes >= least) {
            self.complete_current();
            self.current = self.begin().map_err(|error| self.tell(&error)).ok();
        }
        let Some(file) = &mut self.current else { return };
        if let Err(error) = file.add(frame) {
            self.tell(&error);
            self.current = None;
        }
        while self.bytes() > self.settings.max_bytes && self.complete.pop_front().is_some() {}
    }

    fn tell(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.has_failed, true) {
            let dir = self.settings.dir.display();
            tracing::warn!("footage that cannot be delivered is not kept either: {dir}: {error}");
        }
    }

    fn begin(&self) -> io::Result<FlvFile> {
        let FootageSettings { recipient, dir, bitrates, .. } = &self.settings;
        if let Err(error) = std::os::unix::fs::DirBuilderExt::mode(&mut std::fs::DirBuilder::new(), 0o700).create(dir)
            && error.kind() != io::ErrorKind::AlreadyExists
        {
            return Err(error);
        }
        let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::open(dir, flags, Mode::RUSR | Mode::WUSR | Mode::RGRP)?);
        FlvFile::new(file, recipient, *bitrates)
    }

    fn bytes(&self) -> u64 {
        let complete: u64 = self.complete.iter().map(|file| file.bytes).sum();
        complete + self.current.as_ref().map_or(0, |file| file.bytes)
    }

    fn complete_current(&mut self) {
        let Some(file) = self.current.take() else { return };
        let (bytes, last) = (file.bytes, file.last);
        match file.finish() {
            Ok(file) => self.complete.push_back(Unnamed { file, bytes, last }),
            Err(error) => self.tell(&error),
        }
    }

    /// Drops what has left the queue: it was delivered, or given up. `None`: nothing waits.
    fn forget_before(&mut self, oldest: Option<gst::ClockTime>) {
        let Some(oldest) = oldest else {
            self.complete.clear();
            self.current = None;
            return;
        };
        while self.complete.front().is_some_and(|file| file.last < oldest) {
            self.complete.pop_front();
        }
    }

    /// Gives names to the files of what still waits.
    fn keep(mut self, oldest: Option<gst::ClockTime>) {
        self.forget_before(oldest);
        self.complete_current();
        let FootageSettings { dir, session, .. } = &self.settings;
        let mut number = 1;
        for Unnamed { file, .. } in &self.complete {
            match name(file, dir, *session, number) {
                Ok(next) => number = next,
                Err(error) => tracing::warn!("footage is not kept: {error}"),
            }
        }
    }
}

/// Gives an unnamed file the session's first free name from `number` on. Returns the number behind it.
fn name(file: &File, dir: &Path, session: u64, number: u32) -> io::Result<u32> {
    let unnamed = format!("/proc/self/fd/{}", file.as_raw_fd());
    for number in number..number.saturating_add(MOST_NAMES) {
        match rustix::fs::linkat(
            CWD,
            &unnamed,
            CWD,
            dir.join(format!("{session}-{number}.age")),
            AtFlags::SYMLINK_FOLLOW,
        ) {
            Err(rustix::io::Errno::EXIST) => {}
            linked => return Ok(linked.map(|()| number + 1)?),
        }
    }
    Err(io::Error::other("the session has too many files"))
}

#[cfg(test)]
mod tests;
