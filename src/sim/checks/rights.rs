//! Nothing that was signed is carried out beyond the rights of its key, twice, or after what is newer.
//!
//! The ledger says what was carried out; who signed what is the operator's to know.

use std::collections::{BTreeMap, BTreeSet};

use super::super::operator::{SentCommand, may_sign};
use super::super::truth::Truth;
use crate::ipc::{Erasure, Fact};

/// What was carried out so far.
#[derive(Debug, Default)]
pub(in crate::sim) struct Rights {
    ids: BTreeSet<String>,
    /// The epoch of the last command, and those before it.
    epoch: String,
    former: BTreeSet<String>,
    /// The highest number of each key in that epoch.
    highest: BTreeMap<String, u64>,
    /// The newest policy, document and release index that counted, of this binding.
    policy: Option<String>,
    desired: Option<(u64, String)>,
    applied: u64,
    release: Option<u64>,
    /// Notes that ended the service.
    ends: BTreeSet<String>,
    /// Erasures that a command, or a note, allows.
    erasures: u32,
}

impl Rights {
    /// The ledger has a new entry.
    pub(in crate::sim) fn follow(&mut self, truth: &mut Truth, sent: &[SentCommand], fact: &Fact) {
        match self.judge(truth.acknowledged.as_deref(), sent, fact) {
            Ok(()) => {}
            Err(why) => truth.violated(format_args!("rights: {why}: {fact:?}")),
        }
    }

    #[allow(clippy::wildcard_enum_match_arm)] // the rest needs no right
    fn judge(&mut self, acknowledged: Option<&str>, sent: &[SentCommand], fact: &Fact) -> Result<(), String> {
        match fact {
            Fact::Commanded { verb, key, id } => return self.command(sent, verb, key, id),
            Fact::PolicyUpdated { policy_version, material, waits_for_staff, keys, .. } => {
                signed_by(keys, "policy")?;
                rises(&mut self.policy, policy_version, "policy")?;
                // What staff have acknowledged they need not acknowledge again.
                let is_known = acknowledged.is_some_and(|known| known >= policy_version.as_str());
                if *material && !waits_for_staff && !is_known {
                    return Err("a material policy does not wait for staff".to_owned());
                }
            }
            Fact::DesiredReceived { version, digest, keys } => {
                signed_by(keys, "desired")?;
                // What a disk that hung took after all may stand there twice.
                let new = (*version, digest.clone());
                let is_again = self.desired.as_ref() == Some(&new);
                rises(&mut self.desired, &new, "document").or_else(|why| if is_again { Ok(()) } else { Err(why) })?;
            }
            Fact::DesiredApplied { version, .. } => {
                if *version < self.applied {
                    return Err(format!("a document is applied that is older than {}", self.applied));
                }
                self.applied = *version;
            }
            Fact::UpdateOffered { serial, keys, .. } => {
                signed_by(keys, "release")?;
                rises(&mut self.release, serial, "release index")?;
            }
            Fact::EndOfServiceReceived { digest, keys, .. } => {
                signed_by(keys, "end-of-service")?;
                if !self.ends.insert(digest.clone()) {
                    return Err("a note that ended a service ends another one".to_owned());
                }
            }
            Fact::ErasureStarted { what: Erasure::Erase, .. } => {
                let left = self.erasures.checked_sub(1).ok_or("nobody with the right to it asked for an erasure")?;
                self.erasures = left;
            }
            // All that were asked for while it was under way are part of it.
            Fact::Erased { .. } => self.erasures = 0,
            // The next shop's keys count anew.
            Fact::Unbound { .. } | Fact::ServiceEnded { .. } => {
                (self.policy, self.desired, self.applied) = (None, None, 0);
            }
            _ => {}
        }
        Ok(())
    }

    fn command(&mut self, sent: &[SentCommand], verb: &str, key: &str, id: &str) -> Result<(), String> {
        let is_it = |sent: &&SentCommand| sent.signed.as_ref().is_some_and(|signed| signed.id == id);
        let Some(sent) = sent.iter().find(is_it) else { return Err("nobody signed this command".to_owned()) };
        let signed = sent.signed.as_ref().ok_or("it was not signed")?;
        if signed.epoch != self.epoch {
            self.former.insert(std::mem::replace(&mut self.epoch, signed.epoch.clone()));
            self.highest.clear();
        }
        let wrong = [
            (sent.verb.as_str() != verb, "its verb is another one"),
            (signed.key != key, "it was signed by another key"),
            (!signed.is_entitled, "its key may not"),
            (!signed.for_box, "it is for another box"),
            (signed.is_late, "its deadline was over"),
            (signed.epoch.chars().all(|digit| digit == '0'), "it is of no epoch"),
            (self.former.contains(&signed.epoch), "it is of a former epoch"),
            (!self.ids.insert(id.to_owned()), "it is carried out twice"),
            (self.highest.get(key).is_some_and(|highest| signed.seq <= *highest), "a later one was carried out before"),
        ];
        self.highest.insert(key.to_owned(), signed.seq);
        self.erasures += u32::from(verb == "erase");
        wrong.iter().find(|(is, _)| *is).map_or(Ok(()), |(_, why)| Err((*why).to_owned()))
    }
}

fn signed_by(keys: &[String], role: &str) -> Result<(), String> {
    let is_right = !keys.is_empty() && keys.iter().all(|key| may_sign(key, role));
    if is_right { Ok(()) } else { Err(format!("signed by a key without the role {role}")) }
}

/// Takes the newest one, which has to be newer than the one before.
fn rises<T: PartialOrd + Clone>(known: &mut Option<T>, new: &T, what: &str) -> Result<(), String> {
    match known.replace(new.clone()) {
        Some(before) if before >= *new => Err(format!("a {what} that is not newer than the one before counts")),
        Some(_) | None => Ok(()),
    }
}
