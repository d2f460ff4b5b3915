//! A finger at the simulated panel, and what it ends. A real button has a line of its own; this one is moved through
//! the control socket, so that whatever floods that socket is in its way too: the times are upper bounds.

use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::played::{frame, hear};
use crate::support::test_box::TestBox;
use crate::support::{wait_for, wait_until};

/// The time now, for what is measured.
pub(crate) fn now() -> Instant {
    #[allow(clippy::disallowed_methods)] // a test's own clock
    let now = Instant::now;
    now()
}

/// A process that is watched, whoever gets its number later.
pub(crate) struct Watched(OwnedFd);

impl Watched {
    pub(crate) fn new(pid: i32) -> Self {
        Self(pidfd_open(Pid::from_raw(pid).unwrap(), PidfdFlags::NONBLOCK).unwrap())
    }

    /// Waits for its end.
    pub(crate) fn has_ended(&self, within: Duration) -> bool {
        let within = Timespec { tv_sec: within.as_secs().try_into().unwrap(), tv_nsec: within.subsec_nanos().into() };
        poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&within)).is_ok_and(|ready| ready > 0)
    }
}

/// How long a touch is waited for that did not end capture in time: the test fails then, and says how late it was.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long the finger stays away after a touch.
const RELEASE: Duration = Duration::from_millis(100);

/// A connection to the control socket that moves the button. It is made before the load: a guard without free
/// descriptors accepts no other one.
pub(crate) struct Finger {
    socket: PathBuf,
    stream: Option<UnixStream>,
}

impl Finger {
    pub(crate) fn new(shop: &TestBox) -> Self {
        let mut this = Self { socket: shop.path("run/guard.sock"), stream: None };
        wait_until("the guard has accepted the finger", || {
            this.reach();
            this.asks(r#"{"ask":"status"}"#)
        });
        this
    }

    fn reach(&mut self) {
        self.stream = UnixStream::connect(&self.socket).ok();
        if let Some(stream) = &self.stream {
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
        }
    }

    /// Whether the guard has done this.
    fn asks(&mut self, request: &str) -> bool {
        let Some(stream) = &mut self.stream else { return false };
        if stream.write_all(&frame(&format!(r#"{{"call":1,"request":{request}}}"#))).is_err() {
            return false;
        }
        let mut answers = std::iter::from_fn(|| hear(stream).ok()).filter(|said| said["tell"] == "answer");
        answers.next().is_some_and(|said| said["answer"] == "done" || said["answer"] == "unwritten")
    }

    /// Moves the button, until the guard says that it did, written down or not. A connection that had to make room for
    /// others is made anew.
    fn set(&mut self, down: bool, give_up: &AtomicBool) {
        let order = format!(r#"{{"ask":"button","down":{down}}}"#);
        while !give_up.load(Ordering::SeqCst) {
            if self.asks(&order) {
                return;
            }
            std::thread::park_timeout(Duration::from_millis(1));
            self.reach();
        }
    }

    /// Touches the button until `capture` is gone, and lets it go; how long that took. Measured from outside: from the
    /// moment at which the finger moves to the end of capture's process.
    pub(crate) fn touch(&mut self, capture: &Watched) -> Duration {
        let over = AtomicBool::new(false);
        let begun = now();
        std::thread::scope(|scope| {
            let holds = scope.spawn(|| {
                self.set(true, &over);
                self
            });
            let has_ended = capture.has_ended(PATIENCE);
            let took = now() - begun;
            over.store(true, Ordering::SeqCst);
            let finger = holds.join().unwrap();
            assert!(has_ended, "a touch has not ended capture after {PATIENCE:?}");
            finger.set(false, &AtomicBool::new(false));
            // No finger is back within the debounce: the guard would not feel that this one had left.
            std::thread::sleep(RELEASE);
            took
        })
    }
}

/// The capture that the guard started: other ones, which somebody else's connection brought, have no grant.
pub(crate) fn capture(shop: &TestBox) -> i32 {
    wait_for("capture is there", Duration::from_secs(60), || {
        let text = std::fs::read_to_string(shop.path("run/capture.pid")).ok()?;
        text.split(' ').next()?.parse().ok().filter(|pid| shop.captures().contains(pid))
    })
}
