//! The network between the box and the platform: a cable that can be pulled.

use std::sync::Arc;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::hub::Hub;

/// Carries connections to `port` while the network's switch is on; when it goes off they all break.
pub(super) async fn run(listener: TcpListener, port: u16, hub: Arc<Hub>, ending: CancellationToken) {
    let mut switches = hub.switches();
    let mut carried = JoinSet::new();
    loop {
        tokio::select! {
            () = ending.cancelled() => return,
            _ = switches.changed() => {
                if !switches.borrow_and_update().network {
                    carried.abort_all();
                }
            }
            Ok((near, _)) = listener.accept() => {
                if switches.borrow().network {
                    carried.spawn(carry(near, port));
                }
            }
            Some(_) = carried.join_next() => {}
        }
    }
}

async fn carry(mut near: TcpStream, port: u16) {
    if let Ok(mut far) = TcpStream::connect(("127.0.0.1", port)).await {
        let _ = near.set_nodelay(true);
        let _ = far.set_nodelay(true);
        let _ = copy_bidirectional(&mut near, &mut far).await;
    }
}
