//! The words for reasons and faults that `status` has, as sentences.

use crate::ipc::Fault;
use consent::Reason;

/// The sentence for a reason's word; a text that is no such word stays as it is.
pub(super) fn plain(word: &str) -> String {
    let known = Reason::ALL.into_iter().find(|reason| reason.as_str() == word);
    known.map_or_else(|| word.to_owned(), |reason| sentence(reason).to_owned())
}

/// What is broken.
pub(super) const fn broken(part: Fault) -> &'static str {
    match part {
        Fault::Lamp => "The lamp does not work.",
        Fault::Button => "The button counts as broken: it did not come up for 30 s, or cannot be read.",
        Fault::Ledger => "The consent ledger cannot be written.",
        Fault::Power => "The supply voltage is too low.",
        Fault::Tamper => "The box may have been tampered with.",
    }
}

const fn sentence(reason: Reason) -> &'static str {
    match reason {
        Reason::Press => "Staff touched the button.",
        Reason::Remote => "The platform stopped it.",
        Reason::MaxSession => "The longest session was reached.",
        Reason::Policy => "A new policy came.",
        Reason::Lock => "Staff locked the box.",
        Reason::Fault(part) => broken(part),
        Reason::IngestNotAllowed => "Its server is not one that the configuration allows.",
        Reason::MeteredLink => "Its only way to the server is a metered link, which the configuration refuses.",
        Reason::ReconnectWindow => "Its server was out of reach for too long.",
        Reason::CameraLost => "The camera is away.",
        Reason::MicrophoneLost => "The microphone is away.",
        Reason::Unbind => "The box was unbound.",
        Reason::EndOfService => "The platform's service has ended.",
        Reason::Erase => "The platform had the box erased.",
        Reason::Shutdown => "The box was switched off.",
        Reason::Probed => "A trial of camera and microphone is over.",
        Reason::CaptureFailed => "Capture could not go on.",
        Reason::CaptureDied => "The capture process died.",
        Reason::MuteUnconfirmed => "The sound could not be switched off in time, so all was stopped.",
        Reason::NeverStarted => "The capture process could not be started.",
        Reason::RequestTimeout => "Nobody pressed in time.",
        Reason::Declined => "Staff declined.",
        Reason::Guardian => "A guardian has to hold the button for 2 s.",
        Reason::Agreement => "A change waits for staff to agree.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_has_its_own_sentence() {
        let mut sentences: Vec<&str> = Reason::ALL.into_iter().map(sentence).collect();
        sentences.sort_unstable();
        sentences.dedup();
        assert_eq!(sentences.len(), Reason::ALL.len());
        assert_eq!(plain("remote-stop"), "The platform stopped it.");
        assert_eq!(plain("127.0.0.1:9: nobody listens"), "127.0.0.1:9: nobody listens");
    }
}
