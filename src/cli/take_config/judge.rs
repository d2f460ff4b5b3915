//! What may be changed by whoever has a USB stick and a minute. Shop floors have such people; so what protects those in
//! front of the camera is out of a stick's reach, or asks staff first.

use crate::config::{AudioSource, Config, Crop, Panel, PanelBackend};
use crate::guard::ledger::{Ledger, LedgerError};

/// Whether this box has ever captured; one whose ledger cannot tell may have.
pub(super) fn has_captured(config: &Config) -> bool {
    let path = config.ledger();
    if !path.exists() {
        return false;
    }
    let known = || -> Result<bool, LedgerError> {
        let ledger = Ledger::open_to_read(&path)?;
        let (last, _, kept) = ledger.prove()?;
        Ok(kept < last || ledger.recall(&config.consent.policy_version)?.last_session > 0)
    };
    known().unwrap_or(true)
}

/// How button and lamp are wired: a lamp that is looked for at another pin is a dark one.
fn wiring(panel: &Panel) -> (PanelBackend, [u32; 2], [Option<u32>; 2], bool) {
    let Panel { backend, button_pin, lamp_pin, lamp_sense_pin, mute_pin, active_low, debounce: _ } = panel;
    (*backend, [*button_pin, *lamp_pin], [*lamp_sense_pin, *mute_pin], *active_low)
}

/// Whether something may be seen under `wanted` that was hidden under `now`. Masks lie where the geometry puts them.
fn uncovers(now: &Config, wanted: &Config) -> bool {
    let geometry =
        |Config { video, .. }: &Config| (video.rotation, video.mirror, video.crop, video.width, video.height);
    let hides = !now.masks.is_empty() || now.video.crop != Crop::default();
    !now.masks.iter().all(|mask| wanted.masks.contains(mask)) || (hides && geometry(now) != geometry(wanted))
}

/// Why `wanted` may not follow on `now`, each with what to do; empty where it may.
pub(super) fn refusals(now: &Config, wanted: &Config, has_captured: bool) -> Vec<String> {
    let by_hand = "change it in the files under /etc/tallybox, as root";
    let mut all = Vec::new();
    let mut refuse = |holds: bool, what: &str, advice: &str| {
        if holds {
            all.push(format!("{what}; {advice}"));
        }
    };
    let dirs = |config: &Config| (config.device.data_dir.clone(), config.device.runtime_dir.clone());
    let what = "[device] data-dir and runtime-dir cannot come from a stick: the ledger, a lock and the policy that staff acknowledged stay where they are";
    refuse(dirs(now) != dirs(wanted), what, by_hand);
    let simulated = |config: &Config| config.panel.backend == PanelBackend::Sim;
    let what = "[panel] backend = \"sim\" cannot come from a stick: a press has to be a person's";
    refuse(simulated(wanted) && !simulated(now), what, "leave it out");
    if !has_captured {
        // Nobody ever consented to anything here: it is being installed.
        return all;
    }
    let what = "the pins in [panel] cannot change by a stick once the box was used: its lamp could be left dark";
    refuse(wiring(&now.panel) != wiring(&wanted.panel), what, by_hand);
    let shorter = wanted.privacy.ledger_retention < now.privacy.ledger_retention;
    let what = "[privacy] ledger-retention cannot become shorter by a stick: entries would be deleted";
    refuse(shorter, what, by_hand);
    let known = |host| now.privacy.allowed_ingest_hosts.iter().any(|pattern| pattern.covers(host));
    let wider = !wanted.privacy.allowed_ingest_hosts.iter().all(known);
    let same_policy = wanted.consent.policy_version == now.consent.policy_version;
    let what = "it lets streams go to a host that staff did not agree to";
    let advice = "give it a new [consent] policy-version, and the box asks staff to hold the button for 2 s";
    refuse(wider && same_policy, what, advice);
    let silent = |config: &Config| config.audio.source == AudioSource::None;
    let what = "it opens a microphone on a box that had none";
    refuse(silent(now) && !silent(wanted) && same_policy, what, advice);
    let what = "it uncovers what a privacy mask or a crop hid";
    refuse(uncovers(now, wanted) && same_policy, what, advice);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(more: &str) -> Config {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tallybox.toml");
        std::fs::write(&path, format!("[ingest]\nurl = \"rtmps://a.example.cn/live/k\"\n{more}")).unwrap();
        Config::load(&path).unwrap()
    }

    fn judged(now: &str, wanted: &str, has_captured: bool) -> String {
        refusals(&config(now), &config(wanted), has_captured).join("\n")
    }

    #[test]
    fn what_protects_people_is_out_of_reach() {
        for (wanted, said) in [
            ("[device]\ndata-dir = \"/tmp/x\"\n", "data-dir"),
            ("[device]\nruntime-dir = \"/tmp/x\"\n", "runtime-dir"),
            ("[panel]\nbackend = \"sim\"\n", "a person's"),
        ] {
            for has_captured in [false, true] {
                assert!(judged("", wanted, has_captured).contains(said), "{wanted}");
            }
        }
        for wanted in
            ["lamp-pin = 5", "button-pin = 5", "lamp-sense-pin = 5", "active-low = false", "backend = \"cdev\""]
        {
            let wanted = format!("[panel]\n{wanted}\n");
            assert!(judged("", &wanted, true).contains("lamp could be left dark"), "{wanted}");
            assert_eq!(judged("", &wanted, false), "");
        }
        assert!(judged("[privacy]\nledger-retention = \"400d\"\n", "", true).contains("entries would be deleted"));
        assert_eq!(judged("", "[privacy]\nledger-retention = \"400d\"\n", true), "");
        assert_eq!(judged("", "[video]\nfps = 10\n[panel]\ndebounce = \"20ms\"\n", true), "");
        assert_eq!(judged("[panel]\nbackend = \"sim\"\n", "[panel]\nbackend = \"sim\"\n", true), "");
    }

    #[test]
    fn another_server_needs_another_policy() {
        let list = |hosts: &str| format!("[privacy]\nallowed-ingest-hosts = [\"a.example.cn\", {hosts}]\n");
        let wide = list("\"*.example.org\"");
        assert!(judged("", &wide, true).contains("did not agree"));
        assert_eq!(judged("", &wide, false), "");
        assert_eq!(judged("", &format!("{wide}[consent]\npolicy-version = \"2\"\n"), true), "");
        assert_eq!(judged(&wide, &list("\"push.example.org\""), true), "");
        assert!(judged(&list("\"push.example.org\""), &wide, true).contains("did not agree"));
        assert_eq!(judged(&wide, "", true), "");
    }

    #[test]
    fn to_uncover_something_needs_another_policy() {
        let mask = "[[privacy-mask]]\nx = 0\ny = 0\nwidth = 100\nheight = 100\n";
        let turned = format!("[video]\nrotation = 180\n{mask}");
        for (now, wanted) in [
            (mask, ""),
            (mask, turned.as_str()),
            ("[video]\ncrop = { left = 20 }\n", "[video]\ncrop = { left = 19 }\n"),
        ] {
            assert!(judged(now, wanted, true).contains("it uncovers"), "{now} {wanted}");
            assert_eq!(judged(now, wanted, false), "");
            assert_eq!(judged(now, &format!("{wanted}[consent]\npolicy-version = \"2\"\n"), true), "");
        }
        assert_eq!(judged("", &turned, true), "");
        assert_eq!(judged(mask, mask, true), "");
    }

    #[test]
    fn a_microphone_needs_another_policy() {
        let (none, policy) = ("[audio]\nsource = \"none\"\n", "[consent]\npolicy-version = \"2\"\n");
        assert!(judged(none, "", true).contains("opens a microphone"));
        assert_eq!(judged(none, policy, true), "");
        assert_eq!(judged("", none, true), "");
    }
}
