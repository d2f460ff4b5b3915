//! A capture that the test plays: a guard in front of it, and a process that stands for capture's.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::support::test_box::TestBox;
use crate::support::{Program, wait_until};

/// One message as a frame of a socket between roles.
pub(crate) fn frame(json: &str) -> Vec<u8> {
    let length = u32::try_from(json.len()).unwrap();
    [&length.to_be_bytes()[..], json.as_bytes()].concat()
}

/// The next message.
pub(crate) fn hear(stream: &mut UnixStream) -> std::io::Result<Value> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut text = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut text)?;
    Ok(serde_json::from_slice(&text).unwrap())
}

/// Where a guard of the test's own starts captures.
pub(crate) struct Stage {
    pub(crate) listener: UnixListener,
    pub(crate) guard: Program,
}

impl Stage {
    pub(crate) fn new(shop: &TestBox) -> Self {
        let socket = shop.path("capture.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let log = std::fs::OpenOptions::new().create(true).append(true).open(shop.path("log")).unwrap();
        let mut guard = shop.command(&["guard", &format!("--capture-socket={}", socket.display())]);
        let guard = Program::start(guard.stdin(Stdio::null()).stderr(log));
        wait_until("the guard answers", || shop.status().is_some());
        Self { listener, guard }
    }
}

/// A capture that was started and says nothing by itself.
pub(crate) struct Played {
    pub(crate) stream: UnixStream,
    pub(crate) process: Program,
    pub(crate) start: Value,
}

impl Played {
    /// Takes the guard's connection and says hello.
    pub(crate) fn take(listener: &UnixListener) -> Self {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let process = Program::start(Command::new("sleep").arg("1000"));
        stream.write_all(&frame(&format!(r#"{{"tell":"hello","pid":{}}}"#, process.pid()))).unwrap();
        let start = hear(&mut stream).unwrap();
        assert_eq!(start["do"], "start");
        Self { stream, process, start }
    }

    pub(crate) fn say(&mut self, json: &str) {
        self.stream.write_all(&frame(json)).unwrap();
    }
}
