//! A capture behind a socket whose consent ends before it said who it is.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::{UnixListener, UnixStream};

use super::*;
use crate::clock::Clock;
use crate::ipc::{FromCapture, IpcConnection};
use consent::{CaptureExit, Effect, Event, Machine, PersistedState, SessionId, SessionLimits};

/// What a press brings.
fn grant() -> Grant {
    let state = PersistedState { last_session: SessionId(0), locked: false, parted: None, policy_pending: false };
    let mut machine = Machine::restore(SessionLimits::default(), state);
    let (mut effects, now) = (Vec::new(), Clock::start().now());
    for event in [Event::ButtonUp, Event::ButtonDown, Event::ButtonUp] {
        effects.extend(machine.step(now, event));
    }
    let grant =
        effects.into_iter().find_map(|effect| if let Effect::Launch(grant) = effect { Some(grant) } else { None });
    grant.unwrap()
}

struct Launched {
    handle: CaptureHandle,
    events: mpsc::Receiver<(u64, CaptureEvent)>,
    peer: UnixStream,
    _tasks: JoinSet<()>,
}

/// systemd has taken the connection, and has not started capture yet.
async fn launch(dir: &Path) -> Launched {
    let path = dir.join("capture.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let settings = LaunchSettings {
        configuration: String::new(),
        values: Values::default(),
        commands: SessionValues::default(),
        bitrate_kbps: 1000,
    };
    let (sender, events) = mpsc::channel(8);
    let mut tasks = JoinSet::new();
    let mode = LaunchMode::Socket(path);
    let handle = CaptureHandle::launch(&mode, grant(), settings, PidFile::new(dir), &mut tasks, sender);
    let (peer, _) = listener.accept().await.unwrap();
    Launched { handle, events, peer, _tasks: tasks }
}

async fn ends(events: &mut mpsc::Receiver<(u64, CaptureEvent)>) -> CaptureExit {
    let event = tokio::time::timeout(Duration::from_mins(1), events.recv()).await;
    match event.unwrap().unwrap().1 {
        CaptureEvent::Exited(outcome, _) => outcome,
        CaptureEvent::Message(message) => panic!("{message:?}"),
    }
}

#[test]
fn capture_is_gone_only_when_nobody_has_the_other_end() {
    let dir = tempfile::tempdir().unwrap();
    crate::runtime::build().unwrap().block_on(async {
        let mut launched = launch(dir.path()).await;
        launched.handle.stop();
        assert_eq!(launched.peer.read(&mut [0; 8]).await.unwrap(), 0, "it is told that consent has ended");
        launched.events.try_recv().unwrap_err();
        assert!(dir.path().join("capture.pid").exists(), "the next guard would know");
        drop(launched.peer);
        assert_eq!(ends(&mut launched.events).await, CaptureExit::Stopped);
        assert!(!dir.path().join("capture.pid").exists());
    });
}

#[test]
fn capture_that_comes_late_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    crate::runtime::build().unwrap().block_on(async {
        let mut launched = launch(dir.path()).await;
        launched.handle.stop();
        assert_eq!(launched.peer.read(&mut [0; 8]).await.unwrap(), 0);
        let mut late = Command::new("sleep").arg("600").spawn().unwrap();
        let mut connection = IpcConnection::<ToCapture, FromCapture>::new(launched.peer);
        connection.send(&FromCapture::Hello { pid: late.id() }).await.unwrap();
        assert_eq!(ends(&mut launched.events).await, CaptureExit::Stopped);
        let status = late.wait().unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9), "{status}");
    });
}
