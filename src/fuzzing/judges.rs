//! What the platform signs: commands, policies, the end of the service. What it says is any text; that it was signed is
//! given.

use notes::DocumentType;

use super::notes::{signed, trust};
use super::oracle::{assert_no_secret, assert_told, has_secret_value, round_trip};
use crate::ipc::{EndOfServiceDocument, Parameters, PolicyDocument, Rejection, SignedCommand, Verb};
use crate::judges::commands::{CommandJudge, Epoch, Surroundings, Verdict};
use crate::judges::end_of_service::EndOfService;
use crate::judges::policy_note::{self, PolicyNote};

/// One line of text, as a signed document has it.
fn line(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace(|letter: char| letter.is_control(), " ")
}

/// Whatever a policy's note says.
pub(super) fn policy(bytes: &[u8]) {
    let json = line(bytes);
    let read = policy_note::read(&json);
    match &read {
        Ok(document) => {
            assert_eq!(round_trip::<PolicyDocument>(json.as_bytes()).as_ref(), Some(document));
            assert!(document.contacts.len() <= 4);
            document.contacts.iter().for_each(|contact| assert_told(contact));
        }
        Err(why) => assert_told(why),
    }
    let Some(note) = signed(DocumentType::Policy, &json) else { return };
    match PolicyNote::verify(&trust(), &note) {
        Ok(policy) => assert_eq!((Ok(&policy.document), policy.signers().len()), (read.as_ref(), 2)),
        Err(error) => {
            assert!(read.is_err());
            assert_told(&Rejection::from(error).why);
        }
    }
}

/// Whatever the note says that ends the service.
pub(super) fn end_of_service(bytes: &[u8]) {
    let json = line(bytes);
    let read = EndOfService::read(&json);
    match &read {
        Ok(document) => {
            assert_eq!(round_trip::<EndOfServiceDocument>(json.as_bytes()).as_ref(), Some(document));
        }
        Err(why) => assert_told(why),
    }
    let Some(note) = signed(DocumentType::EndOfService, &json) else { return };
    assert!(EndOfService::is_one(&note));
    match EndOfService::verify(&trust(), &note, Some("box-1"), None) {
        Ok(end) => {
            assert!(end.document.r#box == "box-1" || end.document.r#box == "*");
            let again = EndOfService::verify(&trust(), &note, Some("box-1"), Some(&end.digest));
            assert!(again.is_err(), "it ended a service before");
        }
        Err(rejection) => assert_told(&rejection.why),
    }
}

/// Whatever a signed command says.
pub(super) fn signed_command(bytes: &[u8]) {
    let json = line(bytes);
    let read = SignedCommand::read(&json);
    let value = serde_json::from_str::<serde_json::Value>(&json).unwrap_or_default();
    match &read {
        Ok(command) => {
            assert!((1..=crate::ipc::MAX_ID_BYTES).contains(&command.id.len()));
            assert!(!command.id.chars().any(char::is_control));
            if matches!(command.parameters, Parameters::SetIngest(_)) {
                assert_no_secret(&format!("{:?}", command.parameters));
            }
        }
        Err(unreadable) => {
            assert_told(&unreadable.rejection.why);
            if has_secret_value(&value) {
                assert_no_secret(&unreadable.rejection.why);
            }
        }
    }
    let Some(note) = signed(DocumentType::Command, &json) else { return };
    let epoch = Epoch::draw().expect("the kernel has randomness");
    let json = json.replace("EPOCH", epoch.as_str());
    let note = if json.contains(epoch.as_str()) { signed(DocumentType::Command, &json) } else { Some(note) };
    let (mut judge, trust) = (CommandJudge::new(epoch), trust());
    let surroundings = Surroundings { trust: &trust, box_id: Some("box-1"), uptime_s: 100 };
    let Some(note) = note else { return };
    let mut carried_out = Vec::new();
    for verb in Verb::ALL {
        match judge.admit(&surroundings, verb.as_str(), &note, |_| Ok(())) {
            Verdict::New(accepted) => {
                let command = SignedCommand::read(&json).expect("what was accepted can be read");
                assert_eq!((command.box_id.as_str(), command.epoch.as_str()), ("box-1", judge.epoch()));
                assert!((101..=400).contains(&command.deadline_s) && accepted.verb == command.verb);
                let again = judge.admit(&surroundings, verb.as_str(), &note, |_| Ok(()));
                assert_eq!(again, Verdict::Known(accepted.digest), "it is carried out once");
                carried_out.push(accepted.digest);
            }
            Verdict::Known(digest) => {
                assert!(carried_out.contains(&digest), "a command is known that was never accepted");
            }
            Verdict::Refused(rejection) => assert_told(&rejection.why),
        }
    }
}
