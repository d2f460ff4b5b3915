//! What the tests share: waiting for a condition, and children that end with the test.

#![allow(dead_code, unreachable_pub)] // each test program uses its own part

use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

pub mod clock;
pub mod dates;
pub mod disk;
pub mod ports;
pub mod test_box;
pub mod test_ca;

pub(crate) use ports::free_port;

pub const TALLYBOX: &str = env!("CARGO_BIN_EXE_tallybox");

/// What `probe` gives within `limit`.
pub fn poll<T>(limit: Duration, mut probe: impl FnMut() -> Option<T>) -> Option<T> {
    #[allow(clippy::disallowed_methods)] // a test's own patience is no part of the product
    let now = Instant::now;
    let begun = now();
    loop {
        if let Some(found) = probe() {
            return Some(found);
        }
        if now() - begun >= limit {
            return None;
        }
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// Waits until `probe` gives something, up to a limit that no healthy machine comes near.
#[track_caller]
pub fn wait_for<T>(what: &str, limit: Duration, probe: impl FnMut() -> Option<T>) -> T {
    let found = poll(limit, probe);
    found.unwrap_or_else(|| panic!("{what}: not within {limit:?}"))
}

/// Waits up to a minute.
#[track_caller]
pub fn wait_until(what: &str, mut probe: impl FnMut() -> bool) {
    wait_for(what, Duration::from_secs(60), || probe().then_some(()));
}

/// How long `act` took.
pub fn timed<T>(act: impl FnOnce() -> T) -> (T, Duration) {
    #[allow(clippy::disallowed_methods)]
    let now = Instant::now;
    let begun = now();
    let done = act();
    (done, now() - begun)
}

/// Footage: Big Buck Bunny, (c) Blender Foundation, CC BY 3.0.
pub fn footage() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/media/bigbuckbunny-720p25-5s.mp4")
}

/// A program that ends with the test: SIGTERM first, then by force.
#[derive(Debug)]
pub struct Program(pub Child);

impl Program {
    pub fn start(command: &mut Command) -> Self {
        let name = command.get_program().to_string_lossy().into_owned();
        Self(
            command.spawn().unwrap_or_else(|error| panic!("{name} cannot be started: {error}; see scripts/setup test")),
        )
    }

    pub fn pid(&self) -> i32 {
        i32::try_from(self.0.id()).unwrap()
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(self.pid()).unwrap();
        let _ = rustix::process::kill_process(pid, signal);
    }

    pub fn is_running(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }

    /// Ends it in order; its exit code.
    pub fn finish(&mut self) -> Option<i32> {
        self.signal(rustix::process::Signal::TERM);
        wait_for("a program ends after SIGTERM", Duration::from_secs(30), || self.0.try_wait().unwrap()).code()
    }

    pub fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            self.signal(rustix::process::Signal::TERM);
            for _ in 0..100 {
                if !matches!(self.0.try_wait(), Ok(None)) {
                    return;
                }
                std::thread::park_timeout(Duration::from_millis(50));
            }
            self.kill();
        }
    }
}
