//! Writes one file durably, in a thread of its own: the guard's loop waits for no disk.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, TryRecvError, channel};

use crate::atomic_file::{self, Durability, PRIVATE};
use crate::worker;

/// One file, and a write of it that may be under way.
#[derive(Debug)]
pub(super) struct FileWriter {
    path: PathBuf,
    result: Option<Receiver<io::Result<()>>>,
    /// What is to be written after that.
    next: Option<String>,
}

impl FileWriter {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, result: None, next: None }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Begins to replace the file's content; after the write that is under way, if there is one.
    pub(super) fn write(&mut self, content: String) {
        if self.result.is_some() {
            self.next = Some(content);
            return;
        }
        let (tell, result) = channel();
        let path = self.path.clone();
        let work = move || {
            let written = atomic_file::replace(&path, content.as_bytes(), PRIVATE, Durability::Synced);
            // A guard that ended does not need it.
            let _ = tell.send(written);
        };
        // Where no thread can be started the sender is dropped, which `poll` takes for a failure.
        let _ = worker::detached("update-file", work);
        self.result = Some(result);
    }

    /// How the last write ended, once; `None`: none has.
    pub(super) fn poll(&mut self) -> Option<io::Result<()>> {
        let written = match self.result.as_ref()?.try_recv() {
            Ok(written) => written,
            Err(TryRecvError::Empty) => return None,
            Err(TryRecvError::Disconnected) => Err(io::Error::other("no thread to write it")),
        };
        self.result = None;
        match self.next.take() {
            Some(next) => {
                self.write(next);
                None
            }
            None => Some(written),
        }
    }
}
