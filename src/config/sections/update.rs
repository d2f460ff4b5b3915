//! Software updates: `[update]`.

use core::time::Duration;

use rollout::{Window, is_channel};

use crate::config::reader::Reader;
use crate::config::{HostPattern, Update, ValueError};

use super::{days, secs};

/// Ten minutes: time for whoever stands before the box to read it, and to press.
const NOTICE: Duration = secs(600);

pub(super) fn update(reader: &mut Reader<'_>) -> Update {
    Update {
        channel: channel(reader),
        automatic: reader.flag("update", "automatic", true),
        window: window(reader),
        allowed_hosts: allowed_hosts(reader),
        notice: reader.duration("update", "notice", NOTICE, Duration::ZERO..=days(7)),
    }
}

fn channel(reader: &mut Reader<'_>) -> String {
    let Some((text, place)) = reader.text("update", "channel") else { return "stable".to_owned() };
    if !is_channel(&text) {
        let help = "write 1 to 32 of a-z, 0-9 and \"-\", because it becomes part of an MQTT topic";
        reader.error(Some(place), format!("channel = {text:?} cannot be a channel's name"), help);
    }
    text
}

fn window(reader: &mut Reader<'_>) -> Option<Window> {
    let (text, place) = reader.text("update", "window")?;
    let window = text.parse();
    if window.is_err() {
        let help = "write two times of the box's local day, as \"02:00-05:00\", or leave it out for any time";
        reader.error(Some(place), format!("window = {text:?} is no part of a day"), help);
    }
    window.ok()
}

fn allowed_hosts(reader: &mut Reader<'_>) -> Option<Vec<HostPattern>> {
    let mut patterns = Vec::new();
    for (text, place) in reader.list("update", "allowed-hosts")? {
        match HostPattern::parse(&text) {
            Ok(pattern) => patterns.push(pattern),
            Err(ValueError { message, help }) => reader.error(Some(place), message, help),
        }
    }
    Some(patterns)
}
