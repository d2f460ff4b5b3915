//! A wall clock of the test's own: `clock.c` between a program and its clock.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::Program;
use super::test_box::TestBox;
use super::wait_until;

/// A day, in seconds.
pub const DAY: i64 = 86_400;

/// A clock that is off by what the test says, and kept in step or not.
pub struct WrongClock {
    library: PathBuf,
    file: PathBuf,
}

impl WrongClock {
    /// Off by `seconds`; `synchronised` is what the kernel says of it.
    pub fn new(dir: &Path, seconds: i64, synchronised: bool) -> Self {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/clock.c");
        let clock = Self { library: dir.join("clock.so"), file: dir.join("clock") };
        let mut cc = Command::new("cc");
        cc.args(["-shared", "-fPIC", "-o"]).arg(&clock.library).arg(source);
        let said = cc.output().unwrap();
        assert!(said.status.success(), "{said:?}");
        clock.set(seconds, synchronised);
        clock
    }

    /// Sets it, also under a program that runs.
    pub fn set(&self, seconds: i64, synchronised: bool) {
        let new = self.file.with_extension("new");
        std::fs::write(&new, format!("{seconds} {}\n", u8::from(synchronised))).unwrap();
        std::fs::rename(new, &self.file).unwrap();
    }

    /// Puts a command under this clock.
    pub fn wear<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env("LD_PRELOAD", &self.library).env("FAKE_CLOCK", &self.file)
    }

    /// Starts the shop's guard under this clock, as in a boot of that name.
    pub fn guard(&self, shop: &TestBox, boot: &str) -> Program {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(shop.path("log")).unwrap();
        let mut command = shop.command(&["guard"]);
        self.wear(&mut command).env("TALLYBOX_BOOT_ID", boot).stdin(Stdio::null()).stderr(log);
        let program = Program::start(&mut command);
        wait_until("the guard answers", || shop.status().is_some());
        program
    }
}
