//! Checks that the guard's files will survive its restart. In a unit with a private /tmp (`PrivateTmp=`) ledger and
//! identity would be new at each start, and no other program could reach the guard's socket.

use std::path::Path;

use crate::config::Config;
use crate::exit::Exit;

/// The name of the folders behind a unit's own /tmp and /var/tmp (systemd.exec(5)).
const PRIVATE: &str = "/systemd-private-";

/// Rejects folders that end with the unit.
pub(super) fn is_lasting(config: &Config) -> Result<(), Exit> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    for (key, path) in [("data-dir", &config.device.data_dir), ("runtime-dir", &config.device.runtime_dir)] {
        if is_private(&mounts, path) {
            return Err(Exit::config(format!(
                "[device] {key} = {}: the guard's unit has a /tmp of its own, which is new at each start: the ledger \
                 would be lost, and nobody would find the guard; leave {key} out, or run this configuration with \
                 tallybox run --config FILE",
                path.display()
            )));
        }
    }
    Ok(())
}

/// Whether the mount that `path` lies in is a unit's own. `mounts`: as proc(5) has it, the root of a mount in the
/// fourth field and its place in the fifth.
pub(super) fn is_private(mounts: &str, path: &Path) -> bool {
    let mounts = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(3);
        Some((fields.next()?, Path::new(fields.next()?)))
    });
    let over = mounts.filter(|(_, place)| path.starts_with(place));
    // Of two in one place the later one lies above.
    let nearest = over.max_by_key(|(_, place)| place.components().count());
    nearest.is_some_and(|(root, _)| root.contains(PRIVATE))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::is_private;

    #[test]
    fn a_units_own_tmp_is_told_from_that_of_the_machine() {
        let machine = "22 1 254:0 / / rw - ext4 /dev/vda rw\n30 22 0:20 / /tmp rw - tmpfs tmpfs rw\n";
        let unit = "22 1 254:0 / / rw - ext4 /dev/vda rw\n41 22 254:0 \
                    /tmp/systemd-private-5f0c-tallybox-guard.service-x1/tmp /tmp rw - ext4 /dev/vda rw\n";
        for (mounts, path, private) in [
            (machine, "/tmp/tallybox-laptop/data", false),
            (unit, "/tmp/tallybox-laptop/data", true),
            (unit, "/var/lib/tallybox", false),
            (unit, "/tmpx", false),
            ("", "/tmp/x", false),
        ] {
            assert_eq!(is_private(mounts, Path::new(path)), private, "{path}");
        }
    }
}
