//! Answers that wait until the box is online. What the guard said is taken note of at once, whether there is a
//! connection or not: a command that was carried out is known before anything can go wrong, and the next stop does not
//! wait for a broker. Pure.

use std::collections::VecDeque;

use super::messages::Reply;
use super::publisher::Urgency;
use super::requests::ReplyTo;

/// Answers that wait at once. Whoever misses one asks again, and is answered from memory.
const MAX_WAITING: usize = 64;

/// An answer, and where it goes.
#[derive(Debug)]
pub(super) struct WaitingAnswer {
    pub(super) to: ReplyTo,
    pub(super) reply: Reply,
    pub(super) urgency: Urgency,
}

/// Those that wait, oldest first.
#[derive(Debug, Default)]
pub(super) struct WaitingAnswers(VecDeque<WaitingAnswer>);

impl WaitingAnswers {
    /// One more; without room the oldest of those that matter least goes, which may be this one.
    pub(super) fn push(&mut self, answer: WaitingAnswer) {
        self.0.push_back(answer);
        if self.0.len() > MAX_WAITING {
            let least = self.0.iter().map(|answer| answer.urgency).min();
            let oldest = self.0.iter().position(|answer| Some(answer.urgency) == least);
            drop(oldest.and_then(|oldest| self.0.remove(oldest)));
        }
    }

    /// Takes the oldest.
    pub(super) fn pop(&mut self) -> Option<WaitingAnswer> {
        self.0.pop_front()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The box was unbound.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::Verb;

    fn answer(id: usize, urgency: Urgency) -> WaitingAnswer {
        let reply = Reply {
            id: Some(id.to_string()),
            verb: Verb::Stop.as_str().to_owned(),
            ok: true,
            error: None,
            code: None,
            progress: None,
            receipt: None,
            diagnosis: None,
        };
        WaitingAnswer { to: ReplyTo { topic: String::new(), correlation: None }, reply, urgency }
    }

    #[test]
    fn what_waits_is_bounded_and_a_stop_is_answered_before_the_rest() {
        let mut waiting = WaitingAnswers::default();
        (0..10).for_each(|id| waiting.push(answer(id, Urgency::Stop)));
        (10..500).for_each(|id| waiting.push(answer(id, Urgency::Routine)));
        let kept: Vec<_> = std::iter::from_fn(|| waiting.pop()).filter_map(|answer| answer.reply.id).collect();
        let wanted: Vec<_> = (0..10).chain(446..500).map(|id| id.to_string()).collect();
        assert_eq!(kept, wanted);
        assert!(waiting.is_empty());
        waiting.push(answer(1, Urgency::Idle));
        waiting.forget();
        assert!(waiting.is_empty());
    }
}
