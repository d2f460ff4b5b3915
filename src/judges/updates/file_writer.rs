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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk;
    use crate::disk::simulated::power::{Possible, Run, Scenario};
    use crate::worker::simulated;

    /// The release in force, and what the updater is asked for.
    #[test]
    fn a_power_cut_leaves_what_was_written_or_what_is_being_written() {
        let path = Path::new("/data/release.note");
        let note = |number: u32| format!("{number:0>1500}");
        let run_on = |run: &mut Run<Possible<Option<String>>>| {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                let _threads = simulated::install();
                let mut writer = FileWriter::new(path.to_owned());
                // The second of two comes while the first one is under way.
                for numbers in [[1, 2], [3, 4], [5, 6]] {
                    for number in numbers {
                        run.note(|known| known.attempt(Some(note(number))));
                        writer.write(note(number));
                    }
                    let written = loop {
                        tokio::task::yield_now().await;
                        if let Some(written) = writer.poll() {
                            break written;
                        }
                    };
                    if written.is_ok() {
                        run.note(Possible::settle);
                    }
                }
            });
        };
        let judge = |known: &Possible<_>| known.admit(&disk::read_to_string(path).ok());
        let scenario = Scenario {
            name: "release, update request",
            capacity: None,
            prepare: &|| {},
            work: &run_on,
            recover: &|_| {},
            judge: &judge,
        };
        assert!(scenario.try_all(1) > 20);
        scenario.fail_all(1);
    }
}
