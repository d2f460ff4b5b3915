//! What stands in the shop: the demo's fingers on the simulated panel, and its eyes on guard, lamp and processes.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::buttons::Buttons;
use super::hub::{Hub, Tell};
use super::observation::{Guard, Observation};
use crate::cli::client::Client;
use crate::clock::Clock;
use crate::config::Config;
use crate::exit::Exit;
use crate::ipc::{FromGuard, LedgerCursor, Request, Status};
use monotonic::Monotonic;

/// Before a guard that is away is tried again.
const AGAIN: Duration = Duration::from_millis(200);
/// Between two looks at everything. The page hears of each, and so knows that somebody still looks.
const LOOK: Duration = Duration::from_millis(500);
/// A guard that has said nothing for this long, although it was asked, is not quoted any more. It answers at once
/// unless the machine is overloaded.
const STALE: Duration = Duration::from_secs(3);

/// Watches the box and moves its buttons, until `ending`.
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
            tell(&config, &hub, Guard::Away);
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

/// Looks at the rest of the box, and tells the page all of it.
fn tell(config: &Config, hub: &Hub, guard: Guard) {
    hub.tell(Tell::shop(&Observation::look(guard, &config.path, &config.device.runtime_dir, hub.arrives())));
}

/// What one guard has said.
struct Heard {
    status: Option<Box<Status>>,
    at: Monotonic,
    /// The call that it was asked whether it is still there, until it answers.
    asked: Option<u64>,
}

impl Heard {
    fn guard(&self, now: Monotonic) -> Guard {
        if now.duration_since(self.at) > STALE {
            return Guard::Silent;
        }
        self.status.clone().map_or(Guard::Away, Guard::Answers)
    }
}

async fn attend(
    config: &Config,
    hub: &Hub,
    page: &mut mpsc::Receiver<Request>,
    last: &mut Option<LedgerCursor>,
) -> Result<(), Exit> {
    let mut client = Client::connect(config).await?;
    client.send(Request::Subscribe { entries: true, after: last.clone() }).await?;
    let clock = Clock::start();
    let mut fingers = Buttons::new(config.panel.shortest_press());
    let mut heard = Heard { status: None, at: clock.now(), asked: None };
    let mut looks = tokio::time::interval(LOOK);
    loop {
        let due = fingers.deadline();
        tokio::select! {
            received = client.receive() => {
                let received = received?;
                heard.at = clock.now();
                match received {
                    FromGuard::Status(status) => {
                        heard.status = Some(status);
                        tell(config, hub, heard.guard(heard.at));
                    }
                    FromGuard::Ledger { id } => {
                        if last.as_ref().is_none_or(|last| last.ledger != id) {
                            *last = Some(LedgerCursor { ledger: id, seq: 0 });
                        }
                    }
                    FromGuard::Reported(_) => {}
                    FromGuard::Entry(entry) => {
                        if let Some(last) = last {
                            last.seq = entry.seq;
                        }
                        hub.tell(Tell::Entry { entry });
                    }
                    FromGuard::Response { call, .. } => {
                        heard.asked = heard.asked.filter(|asked| *asked != call);
                    }
                }
            }
            _ = looks.tick() => {
                if heard.asked.is_none() {
                    heard.asked = Some(client.send(Request::Status {}).await?);
                }
                tell(config, hub, heard.guard(clock.now()));
            }
            Some(request) = page.recv(), if fingers.has_room() => fingers.take(clock.now(), request),
            () = tokio::time::sleep_until(clock.to_instant(due.unwrap_or_default())), if due.is_some() => {}
        }
        while let Some(request) = fingers.due(clock.now()) {
            client.send(request).await?;
        }
    }
}
