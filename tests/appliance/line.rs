//! A TCP line between box and broker that can be cut and mended.

use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// The line; it lasts as long as the test program.
pub(crate) struct Line {
    pub(crate) port: u16,
    state: Arc<Mutex<State>>,
}

struct State {
    up: bool,
    streams: Vec<TcpStream>,
}

impl Line {
    /// To `target` of this machine.
    pub(crate) fn new(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(State { up: true, streams: Vec::new() }));
        let shared = state.clone();
        std::thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let mut state = shared.lock().unwrap();
                let Some(far) = state.up.then(|| TcpStream::connect(("127.0.0.1", target)).ok()).flatten() else {
                    continue;
                };
                for (from, to) in [(&near, &far), (&far, &near)] {
                    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    state.streams.push(from.try_clone().unwrap());
                    std::thread::spawn(move || {
                        let _ = std::io::copy(&mut from, &mut to);
                        let _ = to.shutdown(Shutdown::Both);
                    });
                }
            }
        });
        Self { port, state }
    }

    /// Ends what there is, and lets nothing through.
    pub(crate) fn cut(&self) {
        let mut state = self.state.lock().unwrap();
        state.up = false;
        for stream in state.streams.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    pub(crate) fn mend(&self) {
        self.state.lock().unwrap().up = true;
    }
}
