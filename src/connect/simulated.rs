//! The network of a simulation, in memory: who connects gets a stream from whoever installed the network on this
//! thread. Nothing of it is in the programs of a box.

pub(crate) mod packages;

use std::cell::RefCell;
use std::io;

use tokio::io::DuplexStream;
use tokio::sync::{mpsc, oneshot};

/// Somebody connects, wherever to: where the stream goes, or the error. Dropping it is a connection that breaks at
/// once; keeping it is a host that does not answer.
#[derive(Debug)]
pub(crate) struct Dial {
    pub(crate) answer: oneshot::Sender<io::Result<DuplexStream>>,
}

thread_local! {
    static NETWORK: RefCell<Option<mpsc::UnboundedSender<Dial>>> = const { RefCell::new(None) };
}

/// A network that is installed; dropping it takes it away.
#[derive(Debug)]
pub(crate) struct Network(());

impl Network {
    /// Whoever connects on this thread from now on is sent to `dials`.
    pub(crate) fn install(dials: mpsc::UnboundedSender<Dial>) -> Self {
        NETWORK.set(Some(dials));
        Self(())
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        NETWORK.set(None);
    }
}

/// Whether this thread's network is simulated: then the machine's figures are nobody's either.
pub(crate) fn is_installed() -> bool {
    NETWORK.with_borrow(Option::is_some)
}

/// Connects in the simulated network; `None`: there is none on this thread.
pub(crate) async fn dial() -> Option<io::Result<DuplexStream>> {
    let network = NETWORK.with_borrow(Clone::clone)?;
    let (answer, answered) = oneshot::channel();
    let broken = || io::Error::from(io::ErrorKind::ConnectionReset);
    if network.send(Dial { answer }).is_err() {
        return Some(Err(broken()));
    }
    Some(answered.await.unwrap_or_else(|_| Err(broken())))
}
