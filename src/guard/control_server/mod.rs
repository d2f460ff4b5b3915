//! The control socket. Each connection is a task of its own: one that waits, is slow or violates the protocol does not
//! delay the guard. None of them holds anything that could start a capture.

mod connections;
mod listener;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use crate::clock::Clock;
use crate::ipc::{
    FromGuard, IpcConnection, IpcError, IpcStream, LedgerCursor, LedgerEntry, Rejection, ReportedConfig, Request,
    Response, Status, ToGuard, WHY, clean,
};
use crate::ledger::{Ledger, LedgerError, LedgerHead};
use connections::{ConnectionSlot, ConnectionTable};
pub(super) use listener::Listener;
use monotonic::Monotonic;

/// Calls of one connection that wait for their responses.
const MAX_PENDING_CALLS: usize = 16;
/// A client that does not read a message within this time is disconnected.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);
/// Ledger entries per read.
const ENTRIES_PER_READ: u32 = 64;

/// A call to the guard's loop.
#[derive(Debug)]
pub(super) enum ControlCall {
    /// A request, and where its response goes.
    Request(Request, oneshot::Sender<Response>),
    /// A connection was rejected.
    Rejected { uid: u32, why: String },
}

/// What every connection shares.
#[derive(Clone, Debug)]
pub(super) struct ControlContext {
    pub(super) calls: mpsc::Sender<ControlCall>,
    pub(super) status: watch::Receiver<Status>,
    pub(super) reported: watch::Receiver<ReportedConfig>,
    pub(super) head: watch::Receiver<LedgerHead>,
    pub(super) ledger: PathBuf,
    /// Users that may connect, besides root and the guard's own.
    pub(super) uids: Vec<u32>,
    pub(super) clock: Clock,
    /// Whether a key is trusted: whoever is not local then needs a signature.
    pub(super) has_trust: bool,
}

/// Accepts connections until dropped, or until the socket is lost.
pub(super) async fn serve(mut listener: Listener, context: ControlContext) {
    let own = rustix::process::getuid().as_raw();
    let (mut connections, mut table) = (JoinSet::new(), ConnectionTable::new());
    loop {
        tokio::select! {
            // What has ended makes room before anybody new comes in.
            biased;
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, uid)) => {
                    let local = uid == 0 || uid == own;
                    let allowed = local || context.uids.contains(&uid);
                    match if allowed { table.admit(uid) } else { Err("this user may not connect") } {
                        Ok(slot) => {
                            connections.spawn(handle_connection(stream, context.clone(), uid, local, slot));
                        }
                        Err(why) => {
                            let _ = context.calls.send(ControlCall::Rejected { uid, why: why.to_owned() }).await;
                        }
                    }
                }
                Err(error) => {
                    tracing::error!("the guard's socket is lost: {error}");
                    return;
                }
            },
        }
    }
}

async fn handle_connection(
    stream: IpcStream,
    context: ControlContext,
    uid: u32,
    local: bool,
    slot: Arc<ConnectionSlot>,
) {
    let calls = context.calls.clone();
    let held_buttons = HeldButtons::default();
    let mut peer = ControlClient {
        context,
        local,
        slot: slot.clone(),
        subscription: None,
        subscribed: false,
        ledger: None,
        held_buttons,
    };
    let ended = slot.until_evicted(peer.serve(IpcConnection::new(stream))).await;
    if let Some(Err(error)) = ended
        && error.is_protocol_error()
    {
        let _ = calls.send(ControlCall::Rejected { uid, why: clean(&error.to_string(), WHY) }).await;
    }
    // A client that disconnects while it holds a simulated button releases it.
    for request in peer.held_buttons.released() {
        let (reply, _) = oneshot::channel();
        let _ = calls.send(ControlCall::Request(request, reply)).await;
    }
}

/// Simulated buttons that this connection holds down.
#[derive(Debug, Default)]
struct HeldButtons {
    record: bool,
    mute: bool,
}

impl HeldButtons {
    fn update(&mut self, request: &Request) {
        if let Request::Button { down } = request {
            self.record = *down;
        }
        if let Request::MuteButton { down } = request {
            self.mute = *down;
        }
    }

    fn any(&self) -> bool {
        self.record || self.mute
    }

    fn released(&self) -> Vec<Request> {
        let record = self.record.then_some(Request::Button { down: false });
        record.into_iter().chain(self.mute.then_some(Request::MuteButton { down: false })).collect()
    }
}

/// The position of a client that follows the ledger.
#[derive(Debug)]
enum Subscription {
    /// The client's own cursor, before the first entry was sent.
    From(Option<LedgerCursor>),
    /// The client knows the ledger's id, and has all entries up to this one.
    At(LedgerCursor),
}

impl Subscription {
    /// The position after which this client continues in the ledger `id`.
    fn place(&self, id: &str, head: &LedgerHead) -> LedgerCursor {
        let known = match self {
            Self::At(cursor) | Self::From(Some(cursor)) => Some(cursor),
            Self::From(None) => None,
        };
        // A cursor past the end is of another state of this ledger, which was restored from a backup.
        let after = known.filter(|known| known.ledger == id && known.seq <= head.seq).map_or(0, |known| known.seq);
        let begun = match self {
            Self::At(_) => 0,
            Self::From(_) => head.unbound.saturating_sub(1),
        };
        LedgerCursor { ledger: id.to_owned(), seq: after.max(begun) }
    }
}

struct ControlClient {
    context: ControlContext,
    slot: Arc<ConnectionSlot>,
    /// Whether the client is root or the guard's own user.
    local: bool,
    subscribed: bool,
    /// Its position in the ledger; `None`: it follows no entries.
    subscription: Option<Subscription>,
    ledger: Option<Ledger>,
    held_buttons: HeldButtons,
}

impl ControlClient {
    // A line for each request: a new one has to be judged.
    #[allow(clippy::too_many_lines)]
    async fn serve(&mut self, mut connection: IpcConnection<ToGuard, FromGuard>) -> Result<(), IpcError> {
        let mut answers = FuturesUnordered::new();
        loop {
            self.slot.set(self.subscribed, !answers.is_empty() || self.held_buttons.any());
            tokio::select! {
                // A request does not wait behind a long ledger, and an answer behind no request.
                biased;
                Some((call, response)) = answers.next() => {
                    self.respond(&mut connection, call, response).await?;
                }
                received = connection.receive(), if answers.len() < MAX_PENDING_CALLS => {
                    let Some(ToGuard { call, request }) = received? else { return Ok(()) };
                    self.slot.record_request();
                    if let Some(rejection) = request.denial(self.local, self.context.has_trust) {
                        self.deny(&mut connection, call, &request, rejection).await?;
                        continue;
                    }
                    match request {
                        Request::Status {} => {
                            send(&mut connection, FromGuard::Status(self.present_status())).await?;
                            send(&mut connection, FromGuard::Response { call, response: Response::Done }).await?;
                        }
                        Request::Subscribe { entries, after } => {
                            send(&mut connection, FromGuard::Response { call, response: Response::Done }).await?;
                            self.subscribe(entries, after);
                        }
                        Request::Release { .. }
                        | Request::UpdateFetched { .. }
                        | Request::UpdateNow { .. }
                        | Request::UpdatePostpone { .. }
                        | Request::UpdateEnded(_)
                        | Request::CredentialsErased(_)
                        | Request::PrivacyExported {}
                        | Request::RequestStart {}
                        | Request::Probe {}
                        | Request::Stop {}
                        | Request::Mute {}
                        | Request::Unmute {}
                        | Request::Identify {}
                        | Request::SetVideo(_)
                        | Request::Command { .. }
                        | Request::Policy { .. }
                        | Request::Refused { .. }
                        | Request::Network(_)
                        | Request::Desired { .. }
                        | Request::Button { .. }
                        | Request::MuteButton { .. } => {
                            self.held_buttons.update(&request);
                            let (reply, answer) = oneshot::channel();
                            if self.context.calls.send(ControlCall::Request(request, reply)).await.is_err() {
                                return Ok(());
                            }
                            answers.push(answered(call, answer));
                        }
                    }
                }
                Ok(()) = self.context.status.changed(), if self.subscribed => {
                    send(&mut connection, FromGuard::Status(self.newest_status())).await?;
                }
                Ok(()) = self.context.reported.changed(), if self.subscribed => self.report(&mut connection).await?,
                Ok(()) = self.context.head.changed(), if self.subscription.is_some() => self.entries(&mut connection).await?,
            }
        }
    }

    /// From now on it is sent what changes, and first what is.
    fn subscribe(&mut self, entries: bool, after: Option<LedgerCursor>) {
        self.subscribed = true;
        self.subscription = entries.then_some(Subscription::From(after));
        self.context.status.mark_changed();
        self.context.reported.mark_changed();
        self.context.head.mark_changed();
    }

    async fn report(&mut self, connection: &mut IpcConnection<ToGuard, FromGuard>) -> Result<(), IpcError> {
        let reported = Box::new(self.context.reported.borrow_and_update().clone());
        send(connection, FromGuard::Reported(reported)).await
    }

    /// The status, with the time that it is now.
    fn present_status(&self) -> Box<Status> {
        let uptime_s = self.context.clock.now().duration_since(Monotonic::default()).as_secs();
        Box::new(Status { uptime_s, ..self.context.status.borrow().clone() })
    }

    /// The same, as one that the client has heard.
    fn newest_status(&mut self) -> Box<Status> {
        self.context.status.mark_unchanged();
        self.present_status()
    }

    /// Tells what came of a call; `None`: the guard has dropped it.
    async fn respond(
        &mut self,
        connection: &mut IpcConnection<ToGuard, FromGuard>,
        call: u64,
        response: Option<Response>,
    ) -> Result<(), IpcError> {
        let response = response.unwrap_or_else(|| Response::unavailable("the guard is ending"));
        // What was done shows in the status: whoever hears the answer has heard that before.
        if self.subscribed && self.context.status.has_changed().unwrap_or_default() {
            let status = self.newest_status();
            send(connection, FromGuard::Status(status)).await?;
        }
        send(connection, FromGuard::Response { call, response }).await
    }

    /// Turns a request down, and has it written down.
    async fn deny(
        &mut self,
        connection: &mut IpcConnection<ToGuard, FromGuard>,
        call: u64,
        request: &Request,
        rejection: Rejection,
    ) -> Result<(), IpcError> {
        let refused = Request::Refused { verb: request.word().to_owned(), why: rejection.why.clone() };
        let (unheard, _) = oneshot::channel();
        let _ = self.context.calls.send(ControlCall::Request(refused, unheard)).await;
        send(connection, FromGuard::Response { call, response: Response::Rejected(rejection) }).await
    }

    /// Sends the next page of entries; called again while there are more.
    async fn entries(&mut self, connection: &mut IpcConnection<ToGuard, FromGuard>) -> Result<(), IpcError> {
        let head = self.context.head.borrow_and_update().clone();
        let (Some(subscription), Some(id)) = (&self.subscription, &head.ledger) else { return Ok(()) };
        let place = subscription.place(id, &head);
        if !matches!(subscription, Subscription::At(known) if known.ledger == *id) {
            send(connection, FromGuard::Ledger { id: id.clone() }).await?;
        }
        let page = match self.read(place.seq) {
            Ok(page) => page,
            Err(error) => {
                tracing::error!(%error, "ledger entries cannot be handed out");
                return Ok(());
            }
        };
        let seq = page.last().map_or(place.seq, |last| last.seq);
        if seq < head.seq && !page.is_empty() {
            self.context.head.mark_changed();
        }
        self.subscription = Some(Subscription::At(LedgerCursor { seq, ..place }));
        for entry in page {
            send(connection, FromGuard::Entry(Box::new(entry))).await?;
        }
        Ok(())
    }

    fn read(&mut self, after: u64) -> Result<Vec<LedgerEntry>, LedgerError> {
        let ledger = match self.ledger.take() {
            Some(ledger) => ledger,
            None => Ledger::open_read_only(&self.context.ledger)?,
        };
        self.ledger.insert(ledger).entries_after(after, ENTRIES_PER_READ)
    }
}

/// What comes of a call; `None`: the guard has dropped it.
async fn answered(call: u64, answer: oneshot::Receiver<Response>) -> (u64, Option<Response>) {
    (call, answer.await.ok())
}

async fn send(connection: &mut IpcConnection<ToGuard, FromGuard>, message: FromGuard) -> Result<(), IpcError> {
    let sent = tokio::time::timeout(SEND_TIMEOUT, connection.send(&message)).await;
    sent.unwrap_or_else(|_| Err(IpcError::Socket(std::io::ErrorKind::TimedOut.into())))
}
