//! The command `update`: what it waits for, and what it is answered with.

use super::*;
use crate::ipc::{ReplyCode, steps};

type Answer = oneshot::Receiver<Response>;

impl Bench {
    /// A command for this version: its answer, as soon as there is one.
    fn command(&mut self, version: Option<&str>) -> Answer {
        let (reply, answer) = oneshot::channel();
        let moment = Moment { now: self.now, clock: &self.clock, id: Some("shop-0042"), is_busy: self.is_busy };
        if let Some((response, reply)) = self.updates.command(version, &moment, reply) {
            reply.send(response).unwrap();
        }
        answer
    }

    /// A second later: what the command waits for.
    fn step(&mut self) -> Option<&'static str> {
        self.tick();
        let moment = Moment { now: self.now, clock: &self.clock, id: Some("shop-0042"), is_busy: self.is_busy };
        self.updates.step(&moment)
    }

    /// One that takes no updates by itself, with the release in force.
    fn by_hand() -> Self {
        let mut bench = Self::new("automatic = false\n");
        bench.offer(&signed(&release(7), &[1, 2])).unwrap();
        bench
    }
}

/// The code and the words of an answer that is there.
fn refusal(answer: &mut Answer) -> (ReplyCode, String) {
    match answer.try_recv() {
        Ok(Response::Rejected(rejection) | Response::Unavailable(rejection)) => (rejection.code, rejection.why),
        other @ (Ok(_) | Err(_)) => panic!("{other:?}"),
    }
}

#[test]
fn a_command_is_told_each_step_and_answered_when_the_updater_has_it() {
    let mut bench = Bench::by_hand();
    assert_eq!(bench.state().0, UpdateState::Offered);
    bench.is_busy = true;
    let mut answer = bench.command(None);
    assert_eq!(bench.step(), Some(steps::SESSION));
    bench.is_busy = false;
    assert_eq!(bench.step(), Some(steps::DOWNLOAD));
    bench.updates.on_fetched(7, None);
    assert_eq!(bench.step(), Some(steps::SESSION), "five minutes are left");
    bench.clock.synchronised = false;
    assert_eq!(bench.step(), Some(steps::CLOCK));
    bench.clock.synchronised = true;
    // One waits; another one does not take its place.
    assert_eq!(refusal(&mut bench.command(Some("0.2.0-1"))).0, ReplyCode::Busy);
    assert!(answer.try_recv().is_err());
    bench.wait(300);
    let attempt = attempt_of(&bench.start());
    assert_eq!(answer.try_recv(), Ok(Response::Installing { attempt: attempt.clone() }));
    // The same once more, as an operator sends it who heard nothing.
    assert_eq!(bench.command(None).try_recv(), Ok(Response::Installing { attempt: attempt.clone() }));
    assert_eq!(bench.step(), None, "nobody waits any more");
    bench.updates.on_ended(outcome(&attempt, Some("not well within 60 s: guard"), false));
    assert_eq!(bench.state().0, UpdateState::Failed, "it is not tried again by itself");
}

#[test]
fn a_command_of_which_nothing_comes_is_answered_with_the_reason() {
    let aborted = || {
        let mut release = release(8);
        release.wave.state = WaveState::Aborted;
        release
    };
    let next = || Release { version: "0.2.1-1".parse().unwrap(), ..release(8) };
    for (newer, words) in [(aborted(), "stopped"), (next(), "another release")] {
        let mut bench = Bench::by_hand();
        let mut answer = bench.command(None);
        bench.offer(&signed(&newer, &[1, 2])).unwrap();
        bench.tick();
        let (code, why) = refusal(&mut answer);
        assert!(code == ReplyCode::Refused && why.contains(words), "{why}");
        assert_eq!(bench.step(), None);
        assert_eq!(bench.state().0, UpdateState::Offered, "what was asked for is forgotten");
    }
    let mut bench = Bench::by_hand();
    bench.is_busy = true;
    let mut answer = bench.command(None);
    bench.wait(24 * 3600);
    bench.tick();
    assert!(refusal(&mut answer).1.contains("within a day: a session is on"));
    // It expires while the command waits.
    let mut answer = bench.command(None);
    bench.clock.utc = "2027-04-01T00:00:00Z".parse().unwrap();
    bench.tick();
    assert!(refusal(&mut answer).1.contains("expired"));
}

#[test]
fn a_package_that_cannot_be_downloaded_ends_the_command() {
    let mut bench = Bench::by_hand();
    let mut answer = bench.command(None);
    for _ in 0..3 {
        assert!(answer.try_recv().is_err());
        bench.updates.on_fetched(7, Some("the disk is full".to_owned()));
    }
    let (code, why) = refusal(&mut answer);
    assert!(code == ReplyCode::Unavailable && why.contains("downloaded: the disk is full"), "{why}");
    assert_eq!(bench.state().0, UpdateState::Offered);
    // At the box nobody waits for an answer: the download is tried on and on.
    let moment = Moment { now: bench.now, clock: &bench.clock, id: Some("shop-0042"), is_busy: false };
    bench.updates.ask("0.2.0-1", &moment).unwrap();
    (0..9).for_each(|_| bench.updates.on_fetched(7, Some("the disk is full".to_owned())));
    assert_eq!(bench.state().0, UpdateState::Downloading);
}

#[test]
fn a_command_for_what_is_not_offered_is_refused_and_one_for_what_is_installed_is_done() {
    let mut bench = Bench::new("");
    assert!(refusal(&mut bench.command(None)).1.contains("no release is in force"));
    bench.offer(&signed(&release(7), &[1, 2])).unwrap();
    assert!(refusal(&mut bench.command(Some("0.3.0-1"))).1.contains("version 0.2.0-1 is in force"));
    bench.clock.synchronised = false;
    assert!(refusal(&mut bench.command(None)).1.contains("clock"));
    bench.clock.synchronised = true;
    bench.offer(&signed(&Release { version: "0.1.0-1".parse().unwrap(), ..release(8) }, &[1, 2])).unwrap();
    assert_eq!(bench.command(None).try_recv(), Ok(Response::Done));
}

/// A session that is over before the next look at it counts as one.
#[test]
fn a_short_session_keeps_the_box_for_five_minutes_as_well() {
    let mut bench = Bench::new("notice = \"0\"\n");
    bench.offer(&signed(&release(7), &[1, 2])).unwrap();
    bench.updates.note_session(bench.now);
    bench.updates.on_fetched(7, None);
    bench.wait(290);
    assert!(!bench.tick().iter().any(|step| matches!(step, Step::RecordStart(_))));
    bench.wait(10);
    bench.start();
}
