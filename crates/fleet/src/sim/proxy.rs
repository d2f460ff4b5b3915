//! A proxy between boxes and broker: counts connections and bytes, and is a network that a script can cut, stall or
//! slow down.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tallybox::clock::Clock;
use tallybox::exit::Exit;
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::script::Network;
use monotonic::Monotonic;

/// Bytes that are read at once. They are on the stack: a connection on which nothing happens holds no buffer.
const CHUNK: usize = 4096;

/// What passed.
#[derive(Debug, Default)]
pub(super) struct Counters {
    /// Connections that reached the broker.
    pub(super) connections: AtomicU64,
    /// Attempts that did not: the broker or the network was away.
    pub(super) failed: AtomicU64,
    pub(super) from_boxes: AtomicU64,
    pub(super) to_boxes: AtomicU64,
    /// Connections that reached the broker, in each second since the start.
    seconds: Mutex<Vec<u32>>,
}

impl Counters {
    fn connected(&self, second: usize) {
        self.connections.fetch_add(1, Ordering::Relaxed);
        let mut seconds = self.seconds.lock().unwrap_or_else(PoisonError::into_inner);
        if seconds.len() <= second {
            seconds.resize(second + 1, 0);
        }
        if let Some(count) = seconds.get_mut(second) {
            *count += 1;
        }
    }

    /// Connections in each second since the start.
    pub(super) fn seconds(&self) -> Vec<u32> {
        self.seconds.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The proxy. It listens on loopback until it is dropped.
#[derive(Debug)]
pub(super) struct Proxy {
    pub(super) port: u16,
    pub(super) counters: Arc<Counters>,
    network: watch::Sender<Network>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    /// Listens on a free port of loopback, for connections to `broker`.
    pub(super) async fn start(broker: (String, u16)) -> Result<Self, Exit> {
        let failed = |error: std::io::Error| Exit::io(format!("no port for the proxy: {error}"));
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.map_err(failed)?;
        let port = listener.local_addr().map_err(failed)?.port();
        let (counters, network) = (Arc::new(Counters::default()), watch::Sender::new(Network::Open));
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, broker, counters.clone(), network.subscribe()));
        Ok(Self { port, counters, network, _tasks: tasks })
    }

    pub(super) fn set(&self, network: Network) {
        self.network.send_replace(network);
    }
}

async fn accept(
    listener: TcpListener,
    broker: (String, u16),
    counters: Arc<Counters>,
    network: watch::Receiver<Network>,
) {
    let clock = Clock::start();
    let broker = Arc::new(broker);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((client, _)) => {
                    connections.spawn(serve(client, broker.clone(), counters.clone(), network.clone(), clock));
                }
                // No descriptor is free: it is tried again when some are.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }
}

async fn serve(
    client: TcpStream,
    broker: Arc<(String, u16)>,
    counters: Arc<Counters>,
    mut network: watch::Receiver<Network>,
    clock: Clock,
) {
    if *network.borrow_and_update() == Network::Cut {
        counters.failed.fetch_add(1, Ordering::Relaxed);
        return;
    }
    let Ok(server) = TcpStream::connect((broker.0.as_str(), broker.1)).await else {
        counters.failed.fetch_add(1, Ordering::Relaxed);
        return;
    };
    counters.connected(usize::try_from(clock.now().duration_since(Monotonic::default()).as_secs()).unwrap_or(0));
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    let modes = network.clone();
    let cut = async {
        while *network.borrow_and_update() != Network::Cut {
            if network.changed().await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = cut => {}
        () = pass(from_client, to_server, &counters.from_boxes, modes.clone()) => {}
        () = pass(from_server, to_client, &counters.to_boxes, modes) => {}
    }
}

/// Passes bytes on, one way, until either end closes.
async fn pass(from: OwnedReadHalf, mut to: OwnedWriteHalf, passed: &AtomicU64, mut network: watch::Receiver<Network>) {
    while from.readable().await.is_ok() {
        let bytes = {
            let mut buffer = [0; CHUNK];
            match from.try_read(&mut buffer) {
                Ok(0) => return,
                Ok(count) => buffer.get(..count).unwrap_or_default().to_vec(),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
                Err(_) => return,
            }
        };
        let works = network.wait_for(|mode| *mode != Network::Stall).await.map(|mode| *mode);
        match works {
            Ok(Network::Slow(delay)) => tokio::time::sleep(delay).await,
            Ok(Network::Open | Network::Cut | Network::Stall) => {}
            Err(_) => return,
        }
        if to.write_all(&bytes).await.is_err() {
            return;
        }
        passed.fetch_add(bytes.len() as u64, Ordering::Relaxed);
    }
}
