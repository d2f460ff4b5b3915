//! The values of `reason` in each phase, in `state` and `status`; docs/mqtt.md has them as a table.

use super::Phase;
use consent::Reason;

/// The reason while a session goes on with another encoder.
pub const ENCODER_FALLBACK: &str = "encoder-fallback";
/// The agent's reason while the guard does not run.
pub const GUARD_UNREACHABLE: &str = "guard-unreachable";

/// All values of `reason` in `phase`. While a session goes on it may also be an error of the ingest server, with its
/// address.
pub fn reasons(phase: Phase) -> Vec<&'static str> {
    let more: &[&str] = match phase {
        Phase::Connecting | Phase::Live | Phase::Reconnecting => {
            &[Reason::CameraLost.as_str(), Reason::MicrophoneLost.as_str(), ENCODER_FALLBACK]
        }
        Phase::Fault => &[GUARD_UNREACHABLE],
        Phase::Idle | Phase::Requested | Phase::Stopping | Phase::Locked | Phase::Policy => &[],
    };
    let machine = Reason::ALL.into_iter().filter(|reason| reason.is_valid_in(phase)).map(Reason::as_str);
    machine.chain(more.iter().copied()).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_documented_table_has_each_reason_with_its_phases() {
        let text = include_str!("../../docs/mqtt.md");
        let table = text.split("| `reason` | in the phases |").nth(1).expect("the table of reasons");
        let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
        let mut listed = BTreeSet::new();
        for row in rows {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            for phase in cells[2].split(", ") {
                let pair = (phase, cells[1].trim_matches('`'));
                assert!(listed.insert(pair), "{pair:?}: twice");
            }
        }
        let said =
            Phase::ALL.into_iter().flat_map(|phase| reasons(phase).into_iter().map(move |word| (phase.as_str(), word)));
        assert_eq!(listed, said.collect());
    }
}
