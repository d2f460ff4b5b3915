//! Door 2: the guard's Unix socket. Each connection is a task that can wait, be slow or talk nonsense without the
//! guard noticing; none of them holds anything that could start a capture.

mod connections;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use crate::ipc::{
    FromGuard, IpcConnection, IpcError, LedgerCursor, LedgerEntry, Request, Response, Status, ToGuard, WHY, clean,
};
use crate::ledger::{Head, Ledger, LedgerError};
use connections::{Guests, Standing};

/// Calls of one connection that wait for their answer at once.
const CALLS: usize = 16;
/// A peer that does not take a message within this is dropped.
const SEND: Duration = Duration::from_secs(10);
/// Ledger entries that are read at once.
const PAGE: u32 = 64;

/// What the connections want of the guard's loop.
#[derive(Debug)]
pub(super) enum Call {
    /// Do this, and answer.
    Do(Request, oneshot::Sender<Response>),
    /// Somebody was turned away.
    TurnedAway { uid: u32, why: String },
}

/// What every connection needs.
#[derive(Clone, Debug)]
pub(super) struct Desk {
    pub(super) calls: mpsc::Sender<Call>,
    pub(super) status: watch::Receiver<Status>,
    pub(super) head: watch::Receiver<Head>,
    pub(super) ledger: PathBuf,
    /// Users that may connect, besides root and the guard's own.
    pub(super) uids: Vec<u32>,
}

/// Accepts connections until dropped.
pub(super) async fn serve(listener: UnixListener, desk: Desk) {
    let own = rustix::process::getuid().as_raw();
    let (mut connections, mut guests) = (JoinSet::new(), Guests::new());
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let uid = stream.peer_cred().map_or(u32::MAX, |peer| peer.uid());
                    let local = uid == 0 || uid == own;
                    let allowed = local || desk.uids.contains(&uid);
                    match if allowed { guests.admit(uid) } else { Err("this user may not connect") } {
                        Ok(standing) => {
                            connections.spawn(attend(stream, desk.clone(), uid, local, standing));
                        }
                        Err(why) => {
                            let _ = desk.calls.send(Call::TurnedAway { uid, why: why.to_owned() }).await;
                        }
                    }
                }
                Err(error) => {
                    tracing::error!(%error, "the guard's socket does not accept");
                    // Out of file descriptors, most likely: one has to be given back first.
                    if connections.join_next().await.is_none() {
                        return;
                    }
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn attend(stream: UnixStream, desk: Desk, uid: u32, local: bool, standing: Arc<Standing>) {
    let calls = desk.calls.clone();
    let holds = Holds::default();
    let mut peer =
        Peer { desk, local, standing: standing.clone(), follows: None, subscribed: false, ledger: None, holds };
    let ended = standing.until_asked_to_leave(peer.talk(IpcConnection::new(stream))).await;
    if let Some(Err(error)) = ended
        && error.is_protocol_error()
    {
        let _ = calls.send(Call::TurnedAway { uid, why: clean(&error.to_string(), WHY) }).await;
    }
    // Whoever held a simulated button and went away has let go of it.
    for request in peer.holds.released() {
        let (reply, _) = oneshot::channel();
        let _ = calls.send(Call::Do(request, reply)).await;
    }
}

/// Simulated buttons that this connection holds down.
#[derive(Debug, Default)]
struct Holds {
    record: bool,
    mute: bool,
}

impl Holds {
    fn note(&mut self, request: &Request) {
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

/// A peer that wants ledger entries.
#[derive(Debug)]
enum Follows {
    /// It has what its cursor says.
    From(Option<LedgerCursor>),
    /// It was told which ledger this is, and has all up to this place.
    At(LedgerCursor),
}

impl Follows {
    /// The place behind which this peer goes on in the ledger `id`.
    fn place(&self, id: &str, head: &Head) -> LedgerCursor {
        let known = match self {
            Self::At(cursor) | Self::From(Some(cursor)) => Some(cursor),
            Self::From(None) => None,
        };
        // One that knows more than there is knew another end of this ledger: it was put back from a backup.
        let after = known.filter(|known| known.ledger == id && known.seq <= head.seq).map_or(0, |known| known.seq);
        let begun = match self {
            Self::At(_) => 0,
            Self::From(_) => head.unbound.saturating_sub(1),
        };
        LedgerCursor { ledger: id.to_owned(), seq: after.max(begun) }
    }
}

struct Peer {
    desk: Desk,
    standing: Arc<Standing>,
    /// It is root or the guard's own user.
    local: bool,
    subscribed: bool,
    /// Where it is in the ledger; `None`: wants no entries.
    follows: Option<Follows>,
    ledger: Option<Ledger>,
    holds: Holds,
}

impl Peer {
    async fn talk(&mut self, mut connection: IpcConnection<ToGuard, FromGuard>) -> Result<(), IpcError> {
        let mut answers = FuturesUnordered::new();
        loop {
            self.standing.set(self.subscribed, !answers.is_empty() || self.holds.any());
            tokio::select! {
                received = connection.receive(), if answers.len() < CALLS => {
                    let Some(ToGuard { call, request }) = received? else { return Ok(()) };
                    self.standing.heard();
                    self.holds.note(&request);
                    match request {
                        Request::Status {} => {
                            let status = Box::new(self.desk.status.borrow().clone());
                            send(&mut connection, FromGuard::Status(status)).await?;
                            send(&mut connection, FromGuard::Response { call, response: Response::Done }).await?;
                        }
                        Request::Subscribe { entries, after } => {
                            send(&mut connection, FromGuard::Response { call, response: Response::Done }).await?;
                            self.subscribed = true;
                            self.follows = entries.then_some(Follows::From(after));
                            self.desk.status.mark_changed();
                            self.desk.head.mark_changed();
                        }
                        Request::Probe {} if !self.local => {
                            let why = "a probe is asked for by root or the guard's own user".to_owned();
                            send(&mut connection, FromGuard::Response { call, response: Response::Rejected(why) }).await?;
                        }
                        Request::RequestStart {}
                        | Request::Probe {}
                        | Request::Stop {}
                        | Request::Mute {}
                        | Request::Unmute {}
                        | Request::Identify {}
                        | Request::Refused { .. }
                        | Request::Button { .. }
                        | Request::MuteButton { .. } => {
                            let (reply, answer) = oneshot::channel();
                            if self.desk.calls.send(Call::Do(request, reply)).await.is_err() {
                                return Ok(());
                            }
                            answers.push(async move { (call, answer.await) });
                        }
                    }
                }
                Some((call, response)) = answers.next() => {
                    let response = response.unwrap_or_else(|_| Response::Unavailable("the guard is ending".to_owned()));
                    send(&mut connection, FromGuard::Response { call, response }).await?;
                }
                Ok(()) = self.desk.status.changed(), if self.subscribed => {
                    let status = Box::new(self.desk.status.borrow_and_update().clone());
                    send(&mut connection, FromGuard::Status(status)).await?;
                }
                Ok(()) = self.desk.head.changed(), if self.follows.is_some() => self.entries(&mut connection).await?,
            }
        }
    }

    /// Sends a page of entries that the peer does not have; comes again while there are more.
    async fn entries(&mut self, connection: &mut IpcConnection<ToGuard, FromGuard>) -> Result<(), IpcError> {
        let head = self.desk.head.borrow_and_update().clone();
        let (Some(follows), Some(id)) = (&self.follows, &head.ledger) else { return Ok(()) };
        let place = follows.place(id, &head);
        if !matches!(follows, Follows::At(known) if known.ledger == *id) {
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
            self.desk.head.mark_changed();
        }
        self.follows = Some(Follows::At(LedgerCursor { seq, ..place }));
        for entry in page {
            send(connection, FromGuard::Entry(Box::new(entry))).await?;
        }
        Ok(())
    }

    fn read(&mut self, after: u64) -> Result<Vec<LedgerEntry>, LedgerError> {
        let ledger = match self.ledger.take() {
            Some(ledger) => ledger,
            None => Ledger::open_to_read(&self.desk.ledger)?,
        };
        self.ledger.insert(ledger).entries_after(after, PAGE)
    }
}

async fn send(connection: &mut IpcConnection<ToGuard, FromGuard>, message: FromGuard) -> Result<(), IpcError> {
    let sent = tokio::time::timeout(SEND, connection.send(&message)).await;
    sent.unwrap_or_else(|_| Err(IpcError::Socket(std::io::ErrorKind::TimedOut.into())))
}
