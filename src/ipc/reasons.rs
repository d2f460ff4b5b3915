//! The words that `reason` may be in each phase, of `state` and of `status`; docs/mqtt.md has them as a table.

use super::Phase;
use crate::consent::Reason;

/// An encoder was replaced by another one in the session that goes on.
pub const ENCODER_FALLBACK: &str = "encoder-fallback";
/// The agent's word where the guard does not run.
pub const GUARD_UNREACHABLE: &str = "guard-unreachable";

/// Every word that `reason` may be in `phase`. While a session goes on it may be a server's address and what is wrong
/// with it, too.
pub fn reasons(phase: Phase) -> Vec<&'static str> {
    let more: &[&str] = match phase {
        Phase::Connecting | Phase::Live | Phase::Reconnecting => {
            &[Reason::CameraLost.word(), Reason::MicrophoneLost.word(), ENCODER_FALLBACK]
        }
        Phase::Fault => &[GUARD_UNREACHABLE],
        Phase::Idle | Phase::Requested | Phase::Stopping | Phase::Locked | Phase::Policy => &[],
    };
    let machine = Reason::ALL.into_iter().filter(|reason| reason.fits(phase)).map(Reason::word);
    machine.chain(more.iter().copied()).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The words in backquotes of one cell.
    fn quoted(cell: &str) -> Vec<&str> {
        cell.split('`').skip(1).step_by(2).collect()
    }

    #[test]
    fn the_documented_table_has_each_phase_with_its_reasons() {
        let text = include_str!("../../docs/mqtt.md");
        let table = text.split("| phase | `reason` |").nth(1).expect("the table of phases and reasons");
        let rows: Vec<&str> = table.lines().skip(2).take_while(|line| line.starts_with('|')).collect();
        let mut seen = Vec::new();
        for row in rows {
            let cells: Vec<&str> = row.split('|').collect();
            let words: BTreeSet<&str> = quoted(cells[2]).into_iter().collect();
            for name in quoted(cells[1]) {
                let phase: Phase = serde_json::from_value(name.into()).unwrap();
                assert_eq!(words, reasons(phase).into_iter().collect(), "{name}");
                seen.push(name);
            }
        }
        assert_eq!(seen, Phase::ALL.map(Phase::word));
    }
}
