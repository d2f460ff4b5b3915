//! The configurations of simulated boxes.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::operator;
use super::schedule::Platform;
use crate::config::Config;

/// `data-dir` and `runtime-dir`, on the simulated disk.
pub(super) const DATA: &str = "/data";
/// The other one.
pub(super) const RUN: &str = "/run";
/// Where the machine's own files lie, on the same disk.
pub(super) const MACHINE: &str = "/machine";
/// The box's name.
pub(super) const BOX_ID: &str = "box";
/// Its topics lie below this.
pub(super) const BASE: &str = "tallybox/v1/box";

/// Whom footage is encrypted to: nobody has the key.
const RECIPIENT: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";

/// An update waits no longer than that for somebody to put it off.
const UPDATE: &str = "[update]\nnotice = \"3s\"\n";

thread_local! {
    /// As they were read once.
    static CONFIGS: RefCell<BTreeMap<(u8, Platform), Arc<Config>>> = const { RefCell::new(BTreeMap::new()) };
}

/// The configuration with this policy; `None`: it is not valid.
pub(super) fn config(policy: u8, platform: Platform) -> Option<Arc<Config>> {
    CONFIGS.with_borrow_mut(|known| {
        if let Some(config) = known.get(&(policy, platform)) {
            return Some(config.clone());
        }
        let dir = tempfile::tempdir().ok()?;
        let file = dir.path().join("tallybox.toml");
        std::fs::write(&file, text(policy, platform)).ok()?;
        let config = Config::load(&file).ok().map(Arc::new)?;
        known.insert((policy, platform), config.clone());
        Some(config)
    })
}

fn text(policy: u8, platform: Platform) -> String {
    let broker = "[mqtt]\nurl = \"mqtt://broker.example.cn:1883\"\nallow-plain = true\n\
                  [privacy]\nallowed-ingest-hosts = [\"a.cn\", \"*.example.cn\"]\n";
    let keeps = format!("footage-recipient = \"{RECIPIENT}\"\n");
    let (minors, broker, keeps, trust) = match platform {
        Platform::None => ("", "", "", String::new()),
        Platform::Plain => ("", broker, keeps.as_str(), String::new()),
        Platform::Trusted => ("", broker, keeps.as_str(), operator::trust() + UPDATE),
        Platform::Minors => ("minors-mode = true\n", broker, "", operator::trust() + UPDATE),
    };
    let buffer = if keeps.is_empty() { "memory" } else { "disk" };
    format!(
        "[ingest]\nurl = \"rtmps://a.cn/live/k\"\nreconnect-window = \"5s\"\noutage-buffer = \"{buffer}\"\n\
         [device]\nid = \"{BOX_ID}\"\ndata-dir = \"{DATA}\"\nruntime-dir = \"{RUN}\"\n\
         [consent]\npolicy-version = \"2026-01-{:02}\"\nmax-session = \"20s\"\nrequest-timeout = \"10s\"\n\
         {minors}{broker}{keeps}{trust}",
        policy + 1
    )
}
