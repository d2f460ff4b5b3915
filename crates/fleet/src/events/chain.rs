//! Whether an event follows on what is known of its box's ledger.

use std::collections::HashMap;

use tallybox::exit::Exit;
use tallybox::ledger::verify_export;

/// The last entry of a ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) seq: u64,
    pub(super) hash: String,
}

/// An event that is kept.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    /// The first 16 hex digits of its ledger's id.
    pub(super) ledger: String,
    /// Its JSON, one line.
    pub(super) line: &'a str,
}

/// What an event is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict<'a> {
    /// It follows on the last one.
    Next(Entry<'a>),
    /// It is good, and entries before it are missing: why this is known.
    Gap(Entry<'a>, String),
    /// The same, where gaps are not taken: its number.
    Early(u64),
    /// It is known already.
    Repeated,
    /// It is none, or not what its box wrote.
    Refused(String),
}

/// The last entry of each box.
#[derive(Debug, Default)]
pub(super) struct Chains(HashMap<Box<str>, (Box<str>, Place)>);

impl Chains {
    /// Number of a box's last entry, once one came.
    pub(super) fn last(&self, id: &str) -> Option<u64> {
        self.0.get(id).map(|(_, place)| place.seq)
    }

    /// Judges an event of the box `id`. `known` finds the last entry of a ledger that was not followed so far. Without
    /// `takes_gaps` one that comes too early changes nothing.
    pub(super) fn judge<'a>(
        &mut self,
        id: &str,
        payload: &'a [u8],
        known: impl FnOnce(&str) -> Result<Option<Place>, Exit>,
        takes_gaps: bool,
    ) -> Result<Verdict<'a>, Exit> {
        let refused = |why: &str| Ok(Verdict::Refused(why.to_owned()));
        let Ok(line) = std::str::from_utf8(payload) else { return refused("it is no text") };
        if line.contains('\n') {
            return refused("it has more than one line");
        }
        let Some(ledger) = ledger_of(id, line) else { return refused("its id names no ledger of this box") };
        let proof = match verify_export(line.as_bytes()) {
            Ok(proof) => proof,
            Err(error) => return Ok(Verdict::Refused(error.to_string())),
        };
        let last = match self.0.get(id).filter(|(known, _)| **known == *ledger) {
            Some((_, place)) => Some(place.clone()),
            None => known(&ledger)?,
        };
        if last.as_ref().is_some_and(|last| proof.last <= last.seq) {
            return Ok(Verdict::Repeated);
        }
        let gap = match &last {
            Some(last) if proof.last == last.seq + 1 && proof.before != last.hash => {
                return refused("it does not follow on the entry before it: one of them is of another ledger");
            }
            Some(last) if proof.last > last.seq + 1 => {
                Some(format!("entries {} to {} are missing", last.seq + 1, proof.last - 1))
            }
            // Where nobody followed this box before, what there was earlier is not known.
            Some(_) | None => None,
        };
        if gap.is_some() && !takes_gaps {
            return Ok(Verdict::Early(proof.last));
        }
        self.0.insert(id.into(), (ledger.as_str().into(), Place { seq: proof.last, hash: proof.hash }));
        let entry = Entry { ledger, line };
        Ok(match gap {
            Some(why) => Verdict::Gap(entry, why),
            None => Verdict::Next(entry),
        })
    }
}

/// The ledger that an event's id names: `<box>-<16 hex digits>-<number>`.
fn ledger_of(id: &str, line: &str) -> Option<String> {
    let event: serde_json::Value = serde_json::from_str(line).ok()?;
    let (ledger, seq) = event.get("id")?.as_str()?.strip_prefix(id)?.strip_prefix('-')?.split_once('-')?;
    let fits = ledger.len() == 16
        && ledger.bytes().all(|digit| digit.is_ascii_hexdigit() && !digit.is_ascii_uppercase())
        && event.get("seq")?.as_u64()? == seq.parse::<u64>().ok()?;
    fits.then(|| ledger.to_owned())
}

#[cfg(test)]
mod tests {
    use tallybox::clock;
    use tallybox::ipc::Fact;
    use tallybox::ledger::following;

    use super::*;

    fn events(count: u64) -> Vec<String> {
        let (mut last, mut lines): (Option<(u64, String)>, Vec<String>) = (None, Vec::new());
        for _ in 0..count {
            let reading = clock::read();
            let before = last.as_ref().map(|(seq, hash)| (*seq, hash.as_str()));
            let entry = following(before, reading.utc, &reading, Fact::Locked {}).unwrap();
            let text = serde_json::to_string(&entry).unwrap();
            lines.push(format!("{{\"id\":\"shop-1-00112233aabbccdd-{}\",{}", entry.seq, &text[1..]));
            last = Some((entry.seq, entry.hash));
        }
        lines
    }

    fn judge<'a>(chains: &mut Chains, line: &'a str) -> Verdict<'a> {
        chains.judge("shop-1", line.as_bytes(), |_| Ok(None), true).unwrap()
    }

    #[test]
    fn each_event_counts_once_and_gaps_are_told() {
        let (lines, mut chains) = (events(5), Chains::default());
        assert!(matches!(judge(&mut chains, &lines[0]), Verdict::Next(_)));
        assert_eq!(judge(&mut chains, &lines[0]), Verdict::Repeated);
        assert!(matches!(judge(&mut chains, &lines[1]), Verdict::Next(_)));
        let early = chains.judge("shop-1", lines[4].as_bytes(), |_| Ok(None), false).unwrap();
        assert_eq!(early, Verdict::Early(5));
        let Verdict::Gap(_, why) = judge(&mut chains, &lines[4]) else { panic!("no gap") };
        assert_eq!(why, "entries 3 to 4 are missing");
        assert_eq!(judge(&mut chains, &lines[2]), Verdict::Repeated, "too late");
    }

    #[test]
    fn what_the_box_did_not_write_is_refused() {
        let (lines, other) = (events(3), events(3));
        let mut chains = Chains::default();
        judge(&mut chains, &lines[0]);
        for wrong in [
            lines[1].replace("\"locked\"", "\"unlocked\""),
            lines[1].replace("shop-1-", "shop-2-"),
            lines[1].replace("dd-2\"", "dd-3\""),
            other[1].clone(),
            "{}".to_owned(),
            lines[1].replacen('{', "{\n", 1),
        ] {
            assert!(matches!(judge(&mut chains, &wrong), Verdict::Refused(_)), "{wrong}");
        }
        assert!(matches!(judge(&mut chains, &lines[1]), Verdict::Next(_)));
    }
}
