use monotonic::Monotonic;
use std::cell::Cell;
use std::io::{Read, Write};
use std::net::TcpListener;

use super::*;

const LONG: Duration = Duration::from_secs(20);

fn wanted() -> bool {
    false
}

/// This machine, by its name.
fn local() -> Destinations {
    let host = crate::config::Host::parse("localhost").unwrap();
    Destinations::only(&host, &crate::config::example("").residency, Refusals::default())
}

fn timed<T>(act: impl FnOnce() -> T) -> (T, Duration) {
    let clock = Clock::start();
    let done = act();
    (done, clock.now().duration_since(Monotonic::default()))
}

fn listener(address: &str) -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((address, 0)).unwrap();
    let at = listener.local_addr().unwrap();
    (listener, at)
}

/// A port where nobody listens.
fn closed() -> SocketAddr {
    listener("127.0.0.1").1
}

/// A server that answers nothing: its queue of connections is full, so that the kernel drops what else comes.
struct Silent {
    at: SocketAddr,
    _queued: Vec<OwnedFd>,
    _listener: OwnedFd,
}

fn silent() -> Silent {
    let listener = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
    rustix::net::bind(&listener, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    rustix::net::listen(&listener, 0).unwrap();
    let at = SocketAddr::try_from(rustix::net::getsockname(&listener).unwrap()).unwrap();
    let mut queued = Vec::new();
    loop {
        let all = wait(vec![begin(&at).unwrap()], Duration::from_millis(100));
        let accepted = all.iter().all(|(_, decided)| *decided);
        queued.extend(all.into_iter().map(|(socket, _)| socket));
        if !accepted {
            return Silent { at, _queued: queued, _listener: listener };
        }
    }
}

#[test]
fn families_take_turns_and_nothing_is_tried_twice() {
    let all = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<SocketAddr>>();
    for (found, order) in [
        (&["[::1]:1", "[::2]:1", "1.1.1.1:1"][..], &["[::1]:1", "1.1.1.1:1", "[::2]:1"][..]),
        (&["1.1.1.1:1", "1.1.1.2:1", "[::1]:1", "[::1]:1"], &["1.1.1.1:1", "[::1]:1", "1.1.1.2:1"]),
        (&["1.1.1.1:1", "1.1.1.1:1"], &["1.1.1.1:1"]),
        (&[], &[]),
    ] {
        assert_eq!(interleaved(all(found)), all(order));
    }
    let many = (0..100).map(|last| SocketAddr::from(([10, 0, 0, last], 1))).collect();
    assert_eq!(interleaved(many).len(), ADDRESSES);
}

#[test]
fn an_address_that_refuses_costs_nothing_and_one_that_is_silent_a_quarter_of_a_second() {
    let (server, at) = listener("127.0.0.1");
    let (stream, took) = timed(|| connect_any(&[closed(), at], LONG, &wanted).unwrap());
    assert_eq!(stream.peer_addr().unwrap(), at);
    assert!(took < ATTEMPT_DELAY, "{took:?}");
    drop(server.accept().unwrap());

    let (dead, two) = (silent(), silent());
    let (stream, took) = timed(|| connect_any(&[dead.at, two.at, at], LONG, &wanted).unwrap());
    assert_eq!(stream.peer_addr().unwrap(), at);
    assert!(took >= 2 * ATTEMPT_DELAY && took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn the_stream_blocks_as_others_do() {
    let (server, at) = listener("127.0.0.1");
    let mut stream = local().connect("localhost", at.port(), LONG, &wanted).unwrap();
    let other = std::thread::spawn(move || {
        let (mut peer, _) = server.accept().unwrap();
        let mut asked = [0; 1];
        peer.read_exact(&mut asked).unwrap();
        peer.write_all(&asked).unwrap();
    });
    stream.write_all(b"x").unwrap();
    let mut answer = [0; 1];
    // Would say "would block" before the answer is there.
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"x");
    other.join().unwrap();
}

#[test]
fn what_is_told_is_what_says_most_about_the_server() {
    let dead = silent();
    let no_way = "[100::1]:9".parse().unwrap();
    let (failed, took) = timed(|| connect_any(&[dead.at], Duration::from_millis(700), &wanted).unwrap_err());
    assert_eq!(failed, Unreachable::TimedOut);
    assert!(took >= Duration::from_millis(700) && took < LONG, "{took:?}");
    let of = |addresses: &[SocketAddr]| connect_any(addresses, Duration::from_millis(700), &wanted).unwrap_err();
    assert_eq!(of(&[closed()]), Unreachable::Refused);
    assert_eq!(of(&[no_way, closed()]), Unreachable::Refused);
    assert_eq!(of(&[closed(), dead.at]), Unreachable::Refused);
    assert_eq!(of(&[]), Unreachable::Unresolved);
}

#[test]
fn whoever_wants_it_no_more_is_obeyed_at_once() {
    let dead = silent();
    let asked = Cell::new(0);
    let stopped = || {
        asked.set(asked.get() + 1);
        asked.get() > 3
    };
    let (failed, took) = timed(|| connect_any(&[dead.at], LONG, &stopped).unwrap_err());
    assert_eq!(failed, Unreachable::Stopped);
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_eq!(resolve("tallybox.invalid", 1, LONG, &|| true), Err(Unreachable::Stopped));
}

#[test]
fn names_and_addresses_of_both_families_are_found() {
    for host in ["::1", "[::1]"] {
        assert_eq!(resolve(host, 7, LONG, &wanted), Ok(vec!["[::1]:7".parse().unwrap()]));
    }
    assert_eq!(resolve("127.0.0.1", 7, LONG, &wanted), Ok(vec!["127.0.0.1:7".parse().unwrap()]));
    assert!(resolve("localhost", 7, LONG, &wanted).unwrap().contains(&"127.0.0.1:7".parse().unwrap()));
    assert_eq!(resolve("", 7, LONG, &wanted), Err(Unreachable::Unresolved));
}
