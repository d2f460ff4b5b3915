//! Whether the supply voltage is sufficient (consent rule 4): read from sysfs, on machines that report it.
//!
//! Below about 4.63 V a Raspberry Pi slows down, and its card and USB devices fail first: ledger and lamp are no longer
//! reliable. The firmware's flag comes as `in0_lcrit_alarm` of the sensor `rpi_volt`: 1 if the voltage was too low in
//! the last two seconds (drivers/hwmon/raspberrypi-hwmon.c), or, with kernels of Raspberry Pi's own, as bit 0 of
//! `get_throttled` (now).

use std::path::{Path, PathBuf};
use std::time::Duration;

use monotonic::Monotonic;

/// A starting motor may pull the voltage down for a moment: it counts as low after two reports of the driver in a row.
const LOW_AFTER: Duration = Duration::from_secs(4);
/// A weak supply recovers as soon as capture ends: the voltage has to hold for this long to count as sufficient again.
const GOOD_AFTER: Duration = Duration::from_secs(30);
/// See [`crate::cli`]'s doctor, which reads the same file.
const THROTTLED: &str = "sys/devices/platform/soc/soc:firmware/get_throttled";

/// Watches the supply voltage; polled once a second.
#[derive(Debug)]
pub(super) struct SupplyMonitor {
    root: PathBuf,
    low: bool,
    /// Since when the flag has contradicted [`SupplyMonitor::low`].
    contrary: Option<Monotonic>,
}

impl SupplyMonitor {
    /// `root` is `/` but in tests.
    pub(super) fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), low: false, contrary: None }
    }

    pub(super) fn is_low(&self) -> bool {
        self.low
    }

    /// Reads the flag. Returns whether the voltage has just become too low. Without a flag nothing changes.
    pub(super) fn poll(&mut self, now: Monotonic) -> bool {
        let Some(flag) = self.flag() else { return false };
        if flag == self.low {
            self.contrary = None;
            return false;
        }
        let since = *self.contrary.get_or_insert(now);
        let needed = if flag { LOW_AFTER } else { GOOD_AFTER };
        if now.duration_since(since) < needed {
            return false;
        }
        (self.low, self.contrary) = (flag, None);
        flag
    }

    fn flag(&self) -> Option<bool> {
        self.sensor().or_else(|| {
            let text = read(&self.root.join(THROTTLED))?;
            let flags = u32::from_str_radix(text.trim_start_matches("0x"), 16).ok()?;
            Some(flags & 1 != 0)
        })
    }

    fn sensor(&self) -> Option<bool> {
        let sensors = std::fs::read_dir(self.root.join("sys/class/hwmon")).ok()?.flatten().map(|entry| entry.path());
        let sensor = { sensors }.find(|path| read(&path.join("name")).is_some_and(|name| name == "rpi_volt"))?;
        match read(&sensor.join("in0_lcrit_alarm"))?.as_str() {
            "0" => Some(false),
            "1" => Some(true),
            _ => None,
        }
    }
}

fn read(path: &Path) -> Option<String> {
    std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Monotonic {
        Monotonic::from_start(Duration::from_secs(seconds))
    }

    /// When it became low, and when good again, for a flag that is read once a second.
    fn changes(flags: &[(u64, &str)], file: &Path, root: &Path, until: u64) -> Vec<(u64, bool)> {
        let mut supply = SupplyMonitor::new(root);
        let mut seen = Vec::new();
        for second in 0..until {
            if let Some((_, text)) = flags.iter().find(|(from, _)| *from == second) {
                std::fs::write(file, text).unwrap();
            }
            let before = supply.is_low();
            let fell = supply.poll(at(second));
            assert_eq!(fell, supply.is_low() && !before);
            if supply.is_low() != before {
                seen.push((second, supply.is_low()));
            }
        }
        seen
    }

    #[test]
    fn a_dip_is_nothing_and_what_lasts_is_believed_until_it_held_for_long() {
        let root = tempfile::tempdir().unwrap();
        let sensor = root.path().join("sys/class/hwmon/hwmon1");
        std::fs::create_dir_all(&sensor).unwrap();
        std::fs::create_dir_all(root.path().join("sys/class/hwmon/hwmon0")).unwrap();
        std::fs::write(root.path().join("sys/class/hwmon/hwmon0/name"), "cpu_thermal\n").unwrap();
        std::fs::write(sensor.join("name"), "rpi_volt\n").unwrap();
        let flags = [(0, "0\n"), (5, "1\n"), (8, "0\n"), (10, "1\n"), (20, "0\n"), (40, "1\n"), (42, "0\n")];
        let seen = changes(&flags, &sensor.join("in0_lcrit_alarm"), root.path(), 100);
        assert_eq!(seen, [(14, true), (72, false)]);
    }

    #[test]
    fn the_firmwares_flags_do_as_well_and_nothing_is_known_without_them() {
        let root = tempfile::tempdir().unwrap();
        assert!((0..60).all(|second| !SupplyMonitor::new(root.path()).poll(at(second))));
        let file = root.path().join(THROTTLED);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        // It was low since the start (bit 16), and is now (bit 0) from the fifth second on; then something unreadable.
        let flags = [(0, "10000\n"), (5, "50005\n"), (20, "what\n")];
        assert_eq!(changes(&flags, &file, root.path(), 100), [(9, true)]);
    }
}
