//! Is the power supply strong enough, and the box cool enough?

use super::host::HostFiles;
use super::{CheckResult, fail, ok, warn};

/// Flags of the firmware since it started: `get_throttled` in sysfs has them in hexadecimal without a prefix
/// (raspberrypi/linux#2397), `vcgencmd get_throttled` prints the same. Bits 0 to 3 are now, 16 to 19 since boot.
const THROTTLED: &str = "/sys/devices/platform/soc/soc:firmware/get_throttled";
/// Bit, what it means now, and how it is said of the past.
const BITS: [(u32, &str); 4] =
    [(0, "under-voltage"), (1, "processor slowed down"), (2, "throttled"), (3, "close to too hot")];

pub(super) fn rows(machine: &HostFiles) -> Vec<CheckResult> {
    flags(machine).or_else(|| alarm(machine)).into_iter().chain(heat(machine)).collect()
}

fn flags(machine: &HostFiles) -> Option<CheckResult> {
    let text = machine.read(THROTTLED)?;
    let Ok(flags) = u32::from_str_radix(text.trim_start_matches("0x"), 16) else {
        return Some(warn("power", format!("{THROTTLED} says {text:?}"), "see vcgencmd get_throttled"));
    };
    let named = |shift: u32| -> Vec<&str> {
        BITS.iter().filter(|(bit, _)| flags >> (bit + shift) & 1 == 1).map(|(_, name)| *name).collect()
    };
    let (now, past) = (named(0), named(16));
    let voltage = flags & 0x1_0001 != 0;
    let advice = if voltage {
        "use the supply that belongs to this Pi (5.1 V), a short thick cable, and a powered hub for USB devices"
    } else {
        "give it air or a heat sink"
    };
    Some(if !now.is_empty() {
        let found = format!("now: {} (0x{flags:x})", now.join(", "));
        if voltage { fail("power", found, advice) } else { warn("power", found, advice) }
    } else if !past.is_empty() {
        warn("power", format!("since it started: {} (0x{flags:x})", past.join(", ")), advice)
    } else {
        ok("power", "no under-voltage and no throttling since it started")
    })
}

/// Kernels without that file have a sensor: name `rpi_volt`, and `in0_lcrit_alarm`, which is 1 at under-voltage since
/// the last look (the kernel's Documentation/hwmon/raspberrypi-hwmon.rst).
fn alarm(machine: &HostFiles) -> Option<CheckResult> {
    let is_it = |dir: &String| machine.read(&format!("{dir}/name")).is_some_and(|name| name == "rpi_volt");
    let sensors = machine.names("/sys/class/hwmon").into_iter().map(|name| format!("/sys/class/hwmon/{name}"));
    let text = machine.read(&format!("{}/in0_lcrit_alarm", { sensors }.find(is_it)?))?;
    Some(if text == "0" {
        ok("power", "no under-voltage")
    } else {
        fail("power", "under-voltage", "use the supply that belongs to this Pi (5.1 V), and a short thick cable")
    })
}

/// Pis slow down from 80 °C on and harder at 85 °C (Raspberry Pi documentation, frequency management).
const HOT: f32 = 80.0;

fn heat(machine: &HostFiles) -> Option<CheckResult> {
    let millidegrees: f32 = machine.read("/sys/class/thermal/thermal_zone0/temp")?.parse().ok()?;
    let degrees = millidegrees / 1000.0;
    let found = format!("{degrees:.0} °C");
    Some(if degrees < HOT { ok("heat", found) } else { warn("heat", found, "give it air or a heat sink") })
}
