//! A TCP relay between box and ingest that can stop reading what the box sends.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};

use rustix::net::sockopt::set_socket_recv_buffer_size;

/// What it does with what comes from the box.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reads {
    All,
    /// Until the server has said that the box may publish.
    UntilPublishing,
    Nothing,
}

/// The relay; it lasts as long as the test program.
pub(crate) struct Relay {
    pub(crate) port: u16,
    reads: Arc<(Mutex<Reads>, Condvar)>,
}

impl Relay {
    /// In front of `target`. Its kernel takes no more than some 2 kB that it does not read.
    pub(crate) fn new(target: u16, reads: Reads) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        set_socket_recv_buffer_size(&listener, 2048).unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new((Mutex::new(reads), Condvar::new()));
        let reads = shared.clone();
        std::thread::spawn(move || {
            for near in listener.incoming() {
                let Ok(far) = TcpStream::connect(("127.0.0.1", target)) else { continue };
                let (near, reads) = (near.unwrap(), reads.clone());
                let (back, forth) = ((far.try_clone().unwrap(), near.try_clone().unwrap()), reads.clone());
                std::thread::spawn(move || up(near, far, &reads));
                std::thread::spawn(move || down(back.0, back.1, &forth));
            }
        });
        Self { port, reads: shared }
    }

    pub(crate) fn reads(&self, what: Reads) {
        *self.reads.0.lock().unwrap() = what;
        self.reads.1.notify_all();
    }
}

fn up(mut near: TcpStream, mut far: TcpStream, reads: &(Mutex<Reads>, Condvar)) {
    let mut data = [0; 2048];
    loop {
        drop(reads.1.wait_while(reads.0.lock().unwrap(), |reads| *reads == Reads::Nothing).unwrap());
        let Ok(size) = near.read(&mut data) else { break };
        if size == 0 || far.write_all(&data[..size]).is_err() {
            break;
        }
    }
    let _ = far.shutdown(Shutdown::Both);
}

fn down(mut far: TcpStream, mut near: TcpStream, reads: &(Mutex<Reads>, Condvar)) {
    let (mut data, mut said) = ([0; 2048], Vec::new());
    while let Ok(size @ 1..) = far.read(&mut data) {
        said.extend_from_slice(&data[..size]);
        let start = b"NetStream.Publish.Start";
        if said.windows(start.len()).any(|part| part == start) {
            let mut reads = reads.0.lock().unwrap();
            if *reads == Reads::UntilPublishing {
                *reads = Reads::Nothing;
            }
        }
        if near.write_all(&data[..size]).is_err() {
            break;
        }
    }
    let _ = near.shutdown(Shutdown::Both);
}
