//! What an integrator takes along, and what stays on the wall.

use super::terminal::say;
use crate::config::Config;
use crate::exit::Exit;
use crate::ipc::BoxIdentity;

/// Two lines for staff, as docs/install.md has them for printing.
const WALL: [&str; 2] = [
    "PRESS: on air, red lamp lit. HOLD 1 s: picture only. ANY TOUCH: off. LAMP DARK: camera and microphone closed.",
    "HOLD 5 s: locked until you hold 2 s. Three blinks: new policy, read it, then hold 2 s. SOS: call",
];

/// Claim code, id, fingerprint, and the lines for the wall.
pub(super) fn print(config: &Config, identity: Option<&BoxIdentity>) -> Result<(), Exit> {
    let unknown = || "unknown: the guard's log says why".to_owned();
    let id = config.device.id.clone().or_else(|| identity.map(BoxIdentity::device_id)).unwrap_or_else(unknown);
    say(&format!("\nid           {id}"))?;
    say(&format!("claim code   {}", identity.map_or_else(unknown, |identity| identity.claim_code.clone())))?;
    say(&format!("fingerprint  {}", identity.map_or_else(unknown, |identity| identity.fingerprint.clone())))?;
    say("\nFor the wall beside the box:")?;
    say(&format!("  {}\n  {} ____________________", WALL[0], WALL[1]))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_document_has_the_same_lines() {
        let document = include_str!("../../../docs/install.md");
        for line in super::WALL {
            assert!(document.contains(line), "{line}");
        }
    }
}
