//! What the package makes of the documents.

use std::process::Command;

use super::{root, text};

#[test]
fn the_changelog_becomes_that_of_the_package() {
    let mut command = Command::new("python3");
    command.args(["packaging/changelog.py", "0.1.0-1", "0", "A <a@b.example>"]).current_dir(root());
    let output = command.output().expect("python3, which scripts/setup test installs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let (made, written) = (String::from_utf8(output.stdout).unwrap(), text(&root().join("CHANGELOG.md")));
    assert!(made.starts_with("tallybox (0.1.0-1) "), "{made}");
    let count = |text: &str| text.lines().filter(|line| line.trim_start().starts_with("- ")).count();
    assert!(count(&made) == count(&written) && count(&made) > 20, "{made}");
}
