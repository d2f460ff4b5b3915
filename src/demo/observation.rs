//! What the demo knows of its box, each from whoever knows it at first hand. `words.rs` makes texts of it, and of
//! nothing else.

use std::path::Path;

use super::process;
use crate::ipc::{LampPattern, Phase, SIM_LAMP, Status};

/// What is confirmed at one moment.
#[derive(Clone, Debug)]
pub(super) struct Observation {
    /// The guard's own word.
    pub(super) guard: Guard,
    /// Whether a capture process exists, by the kernel; `None`: it cannot be known.
    pub(super) capture: Option<bool>,
    /// What the lamp shows, as its file has it: like a lamp on a wire it keeps that when its guard dies. `None`: it
    /// shows nothing that can be read, as one whose wire is cut.
    pub(super) lamp: Option<LampPattern>,
    /// The stream arrives at the ingest server: something came within the last 2 s.
    pub(super) arriving: bool,
}

/// What the guard says.
#[derive(Clone, Debug)]
pub(super) enum Guard {
    /// Nobody answers at its socket.
    Away,
    /// It has the connection open, and has said nothing for some seconds although it was asked. What it said before is
    /// not known to hold any more.
    Silent,
    /// It says this.
    Answers(Box<Status>),
}

impl Guard {
    /// The phase, as far as the guard confirms one.
    pub(super) fn phase(&self) -> Option<Phase> {
        self.status().map(|status| status.phase)
    }

    /// All that it says.
    pub(super) fn status(&self) -> Option<&Status> {
        match self {
            Self::Away | Self::Silent => None,
            Self::Answers(status) => Some(status),
        }
    }
}

impl Observation {
    /// Looks now. `config` and `runtime_dir` are the box's.
    pub(super) fn look(guard: Guard, config: &Path, runtime_dir: &Path, arriving: bool) -> Self {
        let capture = process::of("capture", config).map(|found| !found.is_empty());
        Self { guard, capture, lamp: lamp(runtime_dir), arriving }
    }
}

/// The simulated lamp.
fn lamp(runtime_dir: &Path) -> Option<LampPattern> {
    let word = std::fs::read_to_string(runtime_dir.join(SIM_LAMP)).ok()?;
    serde_json::from_value(serde_json::Value::String(word)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lamp_is_what_its_file_says() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(lamp(dir.path()), None);
        for shown in [LampPattern::Dark, LampPattern::SolidNotched, LampPattern::Sos] {
            std::fs::write(dir.path().join(SIM_LAMP), shown.as_str()).unwrap();
            assert_eq!(lamp(dir.path()), Some(shown));
        }
        std::fs::write(dir.path().join(SIM_LAMP), "half a wo").unwrap();
        assert_eq!(lamp(dir.path()), None);
    }
}
