//! What must never leave a box or lie in its files: read from the machine, and planted.

use std::process::{Command, Stdio};

use crate::support::Program;
use crate::support::test_box::TestBox;

/// The machine's name as the roles see it.
const HOSTNAME: &str = "canary-of-the-host";
/// The machine's id as the roles see it.
const MACHINE_ID: &str = "c0ffee00c0ffee00c0ffee00c0ffee00";
/// A process that runs beside them.
const PROCESS: &str = "canary-process";

/// Shell commands that give the roles another host name and machine-id than this machine has: each is a name that
/// stands nowhere by accident.
pub(super) fn planted(shop: &TestBox) -> String {
    let id = shop.path("machine-id");
    std::fs::write(&id, format!("{MACHINE_ID}\n")).unwrap();
    let named = format!("hostname {HOSTNAME}; exec \"$@\"");
    format!("mount --bind {} /etc/machine-id; set -- unshare --uts sh -ec '{named}' sh \"$@\"", id.display())
}

/// A process with a name that says what it is.
pub(super) fn neighbour() -> Program {
    let mut sleep = Command::new("bash");
    sleep.args(["-c", &format!("exec -a {PROCESS} sleep 600")]).stdin(Stdio::null());
    Program::start(&mut sleep)
}

fn read(path: impl AsRef<std::path::Path>) -> Option<String> {
    let bytes = std::fs::read(path).ok()?;
    Some(String::from_utf8_lossy(&bytes).trim_matches(['\0', '\n', ' ']).to_owned())
}

/// Each with what it is.
pub(super) fn all() -> Vec<(&'static str, String)> {
    let mut all = vec![("host name", HOSTNAME.to_owned()), ("machine-id", MACHINE_ID.to_owned())];
    all.push(("process", PROCESS.to_owned()));
    for interface in std::fs::read_dir("/sys/class/net").into_iter().flatten().flatten() {
        let address = read(interface.path().join("address")).unwrap_or_default();
        if address.len() == 17 && address != "00:00:00:00:00:00" {
            all.push(("MAC address", address.replace(':', "")));
            all.push(("MAC address", address));
        }
    }
    let serials = [
        "/sys/class/dmi/id/product_serial",
        "/sys/class/dmi/id/product_uuid",
        "/sys/class/dmi/id/board_serial",
        "/proc/device-tree/serial-number",
    ];
    // Many machines say "None", or nothing.
    all.extend(serials.iter().filter_map(read).filter(|text| text.len() > 7).map(|text| ("serial number", text)));
    let of_this = ["/etc/hostname", "/etc/machine-id"];
    all.extend(of_this.iter().filter_map(read).filter(|text| text.len() > 7).map(|text| ("this machine's name", text)));
    let addresses = Command::new("hostname").arg("-I").output().map(|output| output.stdout).unwrap_or_default();
    let addresses = String::from_utf8_lossy(&addresses).into_owned();
    all.extend(addresses.split_whitespace().map(|address| ("address in the network", address.to_owned())));
    all
}

/// Those that stand in `bytes`, in whatever case.
pub(super) fn found(bytes: &[u8], canaries: &[(&'static str, String)]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes).to_lowercase();
    let stands = |(_, canary): &&(&str, String)| text.contains(&canary.to_lowercase());
    canaries.iter().filter(stands).map(|(what, canary)| format!("{what} {canary}")).collect()
}

#[test]
fn a_canary_is_found_in_whatever_case() {
    let canaries = all();
    assert!(canaries.len() >= 3, "{canaries:?}");
    let told = format!("x{}y", HOSTNAME.to_uppercase());
    assert_eq!(found(told.as_bytes(), &canaries), [format!("host name {HOSTNAME}")]);
}
