//! The soak's short form: start and stop, then on air with faults. `make soak` is the long one.

use std::process::Command;

#[test]
fn starts_stops_and_faults_leave_nothing_behind() {
    let soak = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/soak/run");
    let done = Command::new(soak).args([crate::support::TALLYBOX, "--short"]).output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{said}");
    assert!(said.contains("all within limits"), "{said}");
}
