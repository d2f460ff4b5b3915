//! Signed commands that are being carried out, and who waits for their answers.

use tokio::sync::oneshot::{self, error::TryRecvError};

use super::{CommandJudge, Digest};
use crate::ipc::{Rejection, ReplyCode, Response};
use crate::judges::ReplySender;

/// Callers that wait for the answer to one command, if it comes again while it is carried out.
const MAX_WAITING: usize = 8;

#[derive(Debug)]
struct UnderWay {
    digest: Digest,
    answer: oneshot::Receiver<Response>,
    waiting: Vec<ReplySender>,
    id: String,
}

/// All that are under way.
#[derive(Debug, Default)]
pub struct CommandsUnderWay {
    all: Vec<UnderWay>,
}

impl CommandsUnderWay {
    /// A command is carried out from now on: its answer goes into what is returned, once.
    pub fn begin(&mut self, digest: Digest, id: &str, reply: ReplySender) -> ReplySender {
        let (sender, answer) = oneshot::channel();
        self.all.push(UnderWay { digest, answer, waiting: vec![reply], id: id.to_owned() });
        sender
    }

    /// The same command came again: it gets the same answer, now or when there is one.
    pub fn answer_again(&mut self, judge: &CommandJudge, digest: Digest, reply: ReplySender) {
        if let Some(answer) = judge.answer(&digest) {
            let _ = reply.send(answer.clone());
            return;
        }
        match self.all.iter_mut().find(|known| known.digest == digest) {
            Some(known) if known.waiting.len() < MAX_WAITING => known.waiting.push(reply),
            Some(_) | None => {
                let rejection = Rejection::new(ReplyCode::Busy, "it is being carried out, and many wait for it");
                let _ = reply.send(Response::Unavailable(rejection));
            }
        }
    }

    /// Hands on the answers that have come. Called after each event. Returns the ids of the commands that are done.
    pub fn settle(&mut self, judge: &mut CommandJudge) -> Vec<String> {
        let mut done = Vec::new();
        for mut known in std::mem::take(&mut self.all) {
            let answer = match known.answer.try_recv() {
                Err(TryRecvError::Empty) => {
                    self.all.push(known);
                    continue;
                }
                Ok(answer) => answer,
                Err(TryRecvError::Closed) => Response::unavailable("the guard gave it up"),
            };
            for reply in known.waiting {
                let _ = reply.send(answer.clone());
            }
            judge.settle(&known.digest, answer);
            done.push(known.id);
        }
        done
    }
}
