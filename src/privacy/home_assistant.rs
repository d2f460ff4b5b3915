//! The message by which Home Assistant knows the box: its keys are Home Assistant's. A test holds them against the
//! message itself.

use super::{Basis, Category, Datum, Part, Purpose, Recipient, Retention, Text, named, names, purpose};

fn box_itself() -> [(&'static str, Purpose); 11] {
    names! {
        "device.identifiers": Consent Personal "the box's name" "设备名称",
        "device.name": Consent Personal "the box's name" "设备名称",
        "device.manufacturer": Consent Neither "fixed: tallybox" "固定值 tallybox",
        "device.model": Consent Neither "fixed: tallybox" "固定值 tallybox",
        "device.sw_version": Consent Neither "version of this software" "软件版本",
        "origin.name": Consent Neither "fixed: tallybox" "固定值 tallybox",
        "origin.sw_version": Consent Neither "version of this software" "软件版本",
        "availability_topic": Consent Personal "topic, with the box's name" "主题（含设备名称）",
        "availability_template": Consent Neither "fixed text for Home Assistant" "Home Assistant 所需的固定文本",
        "state_topic": Consent Personal "topic, with the box's name" "主题（含设备名称）",
        "qos": Consent Neither "fixed: 1" "固定值 1",
    }
}

const FIXED: Purpose =
    purpose(Basis::Consent, Category::Neither, "fixed text for Home Assistant", "Home Assistant 所需的固定文本");
const NAMED: Purpose = purpose(Basis::Consent, Category::Personal, "has the box's name in it", "含设备名称");

/// What every component has.
const COMMON: [(&str, Purpose); 3] = [("platform", FIXED), ("name", FIXED), ("unique_id", NAMED)];
const STATE: &[(&str, Purpose)] = &[("state_topic", NAMED), ("value_template", FIXED)];
const PRESSED: &[(&str, Purpose)] = &[("command_topic", NAMED), ("command_template", FIXED)];
const PHASE: &[(&str, Purpose)] = &[
    ("state_topic", NAMED),
    ("device_class", FIXED),
    ("options", FIXED),
    ("value_template", FIXED),
    ("entity_category", FIXED),
];
const WORD: &[(&str, Purpose)] = &[("entity_category", FIXED), ("value_template", FIXED)];
const TIME: &[(&str, Purpose)] = &[("entity_category", FIXED), ("value_template", FIXED), ("device_class", FIXED)];
const PLAIN: &[(&str, Purpose)] =
    &[("entity_category", FIXED), ("value_template", FIXED), ("unit_of_measurement", FIXED), ("state_class", FIXED)];
const OF_CLASS: &[(&str, Purpose)] = &[
    ("entity_category", FIXED),
    ("value_template", FIXED),
    ("unit_of_measurement", FIXED),
    ("device_class", FIXED),
    ("state_class", FIXED),
];

/// The components, each with what it has besides.
const COMPONENTS: [(&str, &[(&str, Purpose)]); 11] = [
    ("live", STATE),
    ("consent", STATE),
    ("stop", PRESSED),
    ("phase", PHASE),
    ("temperature-c", OF_CLASS),
    ("disk-free-mib", OF_CLASS),
    ("bitrate-kbps", OF_CLASS),
    ("fps", PLAIN),
    ("round-trip-ms", OF_CLASS),
    ("link-kind", WORD),
    ("certificate-expires", TIME),
];

/// The message's data.
pub(super) fn data() -> Vec<Datum> {
    let mut all = named("config", &box_itself());
    for (name, more) in COMPONENTS {
        let prefix = format!("config.components.{name}");
        all.extend([named(&prefix, &COMMON), named(&prefix, more)].concat());
    }
    all
}

/// The message, which is off unless configured.
pub(super) fn part() -> Part {
    Part {
        name: "config",
        title: Text::new("Announcement to Home Assistant", "向 Home Assistant 的自我介绍"),
        recipient: Recipient::HomeAssistant,
        retention: Retention::Newest,
        data: data(),
    }
}
