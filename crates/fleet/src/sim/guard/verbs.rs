//! What each verb does on a simulated box, once it may.

use monotonic::Monotonic;
use tallybox::ipc::{Fact, Parameters, Phase, Response, SetIngest, SetPolicy, SetVideo};
use tallybox::judges::ReplySender;
use tallybox::judges::session_settings::{judge_ingest, judge_video, session_config};

use super::SimGuard;
use consent::Event;

/// An address that staff have to agree to.
#[derive(Debug)]
pub(super) struct PendingIngest {
    ingest: Box<SetIngest>,
    host: String,
    asks: Vec<String>,
    pub(super) until: Monotonic,
    reply: ReplySender,
}

impl SimGuard {
    /// Carries a verb out and answers, now or when it is done.
    pub(super) fn carry_out(&mut self, parameters: &Parameters, reply: ReplySender) {
        let response = match parameters {
            Parameters::Stop => {
                self.stops.push(reply);
                return self.dispatch(Event::RemoteStop);
            }
            Parameters::Mute => {
                self.mutes.push(reply);
                return self.dispatch(Event::RemoteMute);
            }
            Parameters::RequestStart => {
                self.dispatch(Event::RemoteRequest);
                self.staff.asked(self.clock.now());
                self.done_if(self.machine.asks_to_start(), "nothing can be asked for now")
            }
            Parameters::Unmute => {
                self.dispatch(Event::RemoteUnmute);
                let why = "remote takes back only its own mute, in a session that staff started with sound";
                self.done_if(self.machine.wants_sound(), why)
            }
            Parameters::Identify => {
                let may = matches!(self.machine.phase(), Phase::Idle | Phase::Requested);
                self.done_if(may, "the lamp goes on saying what it says")
            }
            Parameters::Diagnose => Response::Done,
            Parameters::SetVideo(wanted) => self.set_video(wanted),
            Parameters::SetIngest(wanted) => return self.set_ingest(wanted.clone(), reply),
            Parameters::SetPolicy(SetPolicy { note }) => self.receive_policy(note),
            Parameters::Update(wanted) => return self.command_update(wanted.version.as_deref(), reply),
            Parameters::Erase(_) | Parameters::Unbind => {
                Response::refused("a simulated box has nothing to erase: try it on a real one")
            }
        };
        self.answer(reply, response);
    }

    /// Whoever hears the answer has the status that belongs to it.
    pub(super) fn answer(&mut self, reply: ReplySender, response: Response) {
        self.publish();
        // A caller that went away does not need its reply.
        let _ = reply.send(response);
    }

    fn done_if(&self, is_done: bool, why: &str) -> Response {
        let phase = self.machine.phase().as_str();
        if is_done { Response::Done } else { Response::refused(format!("{why}: the box is {phase}")) }
    }

    fn set_video(&mut self, wanted: &SetVideo) -> Response {
        let phase = self.machine.phase();
        match judge_video(self.judges.twin.config(), &self.values, phase, wanted) {
            Err(response) => response,
            Ok(_) if phase == Phase::Stopping => Response::unavailable("the session is just ending: send it again"),
            Ok(values) => {
                self.values = values;
                let video = session_config(self.judges.twin.config(), &self.values).video;
                self.capture.set_bitrate(video.bitrate_kbps);
                Response::Done
            }
        }
    }

    fn set_ingest(&mut self, ingest: Box<SetIngest>, reply: ReplySender) {
        let (phase, is_asked) = (self.machine.phase(), self.ingest.is_some());
        match judge_ingest(self.judges.twin.config(), &self.values, phase, is_asked, &ingest) {
            Err(response) => self.answer(reply, response),
            Ok((host, changes)) if changes.is_empty() => self.keep_ingest(ingest, host, false, reply),
            Ok((host, asks)) => {
                if let Err(why) = self.judges.refusals.judge(&asks) {
                    return self.answer(reply, Response::refused(why));
                }
                let until = self.clock.now().saturating_add(self.config.consent.request_timeout);
                self.ingest = Some(PendingIngest { ingest, host, asks, until, reply });
                if let Some(command) = &mut self.long_command {
                    "waiting-for-staff".clone_into(&mut command.progress);
                }
                self.dispatch(Event::AgreementNeeded);
            }
        }
    }

    fn keep_ingest(&mut self, ingest: Box<SetIngest>, ingest_host: String, agreed: bool, reply: ReplySender) {
        self.append(Fact::IngestSet { ingest_host, agreed });
        self.values.ingest = Some(ingest);
        self.answer(reply, Response::Done);
    }

    /// Staff held the button: what they were asked is agreed to.
    pub(super) fn agree(&mut self) {
        self.judges.question = tallybox::judges::twin::Question::None;
        if let Some(PendingIngest { ingest, host, reply, .. }) = self.ingest.take() {
            self.keep_ingest(ingest, host, true, reply);
        }
        if let Some(fact) = self.judges.twin.agreed() {
            self.append(fact);
        }
    }

    /// Gives up a question that nobody has answered in time.
    pub(super) fn check_ingest(&mut self) {
        let now = self.clock.now();
        let is_over = |pending: &PendingIngest| {
            now >= pending.until || pending.reply.is_closed() || !self.machine.is_agreement_pending()
        };
        if !self.ingest.as_ref().is_some_and(is_over) {
            return;
        }
        let Some(PendingIngest { reply, asks, .. }) = self.ingest.take() else { return };
        self.note_refusal(&asks);
        if !self.judges.twin.needs_agreement() {
            self.dispatch(Event::AgreementWithdrawn);
        }
        self.answer(reply, Response::refused("staff did not agree to that server in time: nothing changed"));
    }
}
