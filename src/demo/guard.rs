//! What stands in the shop: the demo's fingers on the simulated panel, and its eyes on the lamp.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::fingers::Fingers;
use super::hub::{Hub, Tell};
use crate::cli::client::Client;
use crate::clock::Clock;
use crate::config::Config;
use crate::exit::Exit;
use crate::ipc::{Cursor, FromGuard, Lamp, Request};

/// Before a guard that is away is tried again.
const AGAIN: Duration = Duration::from_millis(200);

/// Watches the guard and moves its buttons, until `ending`.
pub(super) async fn run(
    config: Config,
    hub: Arc<Hub>,
    mut fingers: mpsc::Receiver<Request>,
    ending: CancellationToken,
) {
    let mut last = None;
    let watch = async {
        loop {
            let _ = attend(&config, &hub, &mut fingers, &mut last).await;
            hub.tell(Tell::Shop { status: None, spans: Lamp::Dark.spans() });
            tokio::time::sleep(AGAIN).await;
            // What was pressed while nobody was there was not pressed.
            while fingers.try_recv().is_ok() {}
        }
    };
    tokio::select! {
        () = ending.cancelled() => {}
        () = watch => {}
    }
}

async fn attend(
    config: &Config,
    hub: &Hub,
    page: &mut mpsc::Receiver<Request>,
    last: &mut Option<Cursor>,
) -> Result<(), Exit> {
    let mut client = Client::connect(config).await?;
    client.send(Request::Subscribe { entries: true, after: last.clone() }).await?;
    let clock = Clock::start();
    let mut fingers = Fingers::new(config.panel.shortest_press());
    loop {
        let due = fingers.deadline();
        tokio::select! {
            received = client.receive() => match received? {
                FromGuard::Status(status) => {
                    let spans = status.lamp.spans();
                    hub.tell(Tell::Shop { status: Some(status), spans });
                }
                FromGuard::Ledger { id } => {
                    if last.as_ref().is_none_or(|last| last.ledger != id) {
                        *last = Some(Cursor { ledger: id, seq: 0 });
                    }
                }
                FromGuard::Entry(entry) => {
                    if let Some(last) = last {
                        last.seq = entry.seq;
                    }
                    hub.tell(Tell::Entry { entry });
                }
                FromGuard::Answer { .. } => {}
            },
            Some(request) = page.recv(), if fingers.has_room() => fingers.take(clock.now(), request),
            () = tokio::time::sleep_until(clock.instant(due.unwrap_or_default())), if due.is_some() => {}
        }
        while let Some(request) = fingers.due(clock.now()) {
            client.send(request).await?;
        }
    }
}
