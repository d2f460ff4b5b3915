//! Exactly what the roles get as secrets is deleted, whatever somebody put in its place.

use std::os::unix::fs::symlink;

use super::*;

const TEXT: &str = "[ingest]\nurl = \"rtmps://a.example.cn/live/${STREAM_KEY}\"\n[mqtt]\nurl = \"mqtts://b.example.cn\"\n\
                    client-cert = \"/etc/tallybox/client.pem\"\nclient-key = \"/etc/tallybox/client.key\"\n";

/// A machine with the units, and drop-ins that hand on a stream key.
fn machine(text: &str) -> (tempfile::TempDir, HostFiles, Config) {
    let dir = tempfile::tempdir().unwrap();
    let at = |path: &str| dir.path().join(path);
    for folder in ["etc/tallybox/keys", "etc/systemd/system/tallybox-capture@.service.d", "run/systemd/system", "srv"] {
        std::fs::create_dir_all(at(folder)).unwrap();
    }
    for (name, unit) in [
        ("tallybox-guard.service", include_str!("../../../../systemd/tallybox-guard.service")),
        ("tallybox-agent.service", include_str!("../../../../systemd/tallybox-agent.service")),
        ("tallybox-capture@.service", include_str!("../../../../systemd/tallybox-capture@.service")),
    ] {
        let exec = format!("--config={}", at("etc/tallybox/tallybox.toml").display());
        let unit = unit.replace("/usr/bin/tallybox guard", &format!("/usr/bin/tallybox guard {exec}"));
        let unit = unit.replace("/usr/bin/tallybox agent", &format!("/usr/bin/tallybox agent {exec}"));
        let unit = unit.replace("/usr/bin/tallybox capture", &format!("/usr/bin/tallybox capture {exec}"));
        std::fs::write(at("etc/systemd/system").join(name), unit).unwrap();
    }
    let drop_in =
        "[Service]\nLoadCredential=STREAM_KEY:/etc/tallybox/keys/stream-key\nLoadCredential=OTHER:/srv/other\n";
    std::fs::write(at("etc/systemd/system/tallybox-capture@.service.d/own.conf"), drop_in).unwrap();
    for file in
        ["client.pem", "client.key", "client.key.bak", "ca.pem", "keys/stream-key", "keys/stream-key.new", "note"]
    {
        std::fs::write(at("etc/tallybox").join(file), "s3cret").unwrap();
    }
    std::fs::write(at("srv/other"), "s3cret").unwrap();
    std::fs::write(at("etc/tallybox/tallybox.toml"), text).unwrap();
    let config = Config::load(&at("etc/tallybox/tallybox.toml")).unwrap();
    let machine = HostFiles::new(dir.path());
    (dir, machine, config)
}

fn request(config: &Config) -> ErasureRequest {
    ErasureRequest { attempt: "0123456789abcdef".to_owned(), configuration: config.hash.clone() }
}

fn remaining(dir: &Path) -> Vec<String> {
    let mut found: Vec<String> = ["etc/tallybox", "etc/tallybox/keys", "srv"]
        .iter()
        .flat_map(|folder| std::fs::read_dir(dir.join(folder)).unwrap())
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    found.sort();
    found
}

#[test]
fn credentials_go_and_nothing_else_does() {
    let (dir, machine, config) = machine(TEXT);
    let report = erase(&config, &machine, &request(&config));
    assert_eq!(remaining(dir.path()), ["ca.pem", "keys", "note", "other", "tallybox.toml"], "{report:?}");
    assert_eq!(report.removed, 5);
    assert_eq!(report.left, [left("/srv/other", "it is not below /etc/tallybox")]);
    let again = erase(&config, &machine, &request(&config));
    assert_eq!((again.removed, again.left), (0, report.left), "after a power cut it is done once more");
}

#[test]
fn another_configuration_keeps_its_credentials() {
    let (dir, machine, config) = machine(TEXT);
    let before = remaining(dir.path());
    let request = ErasureRequest { configuration: "0".repeat(64), ..request(&config) };
    let report = erase(&config, &machine, &request);
    assert_eq!((remaining(dir.path()), report.removed, report.left.len()), (before, 0, 1));
}

#[test]
fn no_link_leads_out_of_the_folder() {
    let (dir, machine, config) = machine(TEXT);
    let at = |path: &str| dir.path().join(path);
    std::fs::remove_file(at("etc/tallybox/client.key")).unwrap();
    symlink(at("srv/other"), at("etc/tallybox/client.key")).unwrap();
    std::fs::remove_dir_all(at("etc/tallybox/keys")).unwrap();
    std::fs::create_dir(at("srv/keys")).unwrap();
    std::fs::write(at("srv/keys/stream-key"), "s3cret").unwrap();
    symlink(at("srv/keys"), at("etc/tallybox/keys")).unwrap();
    let report = erase(&config, &machine, &request(&config));
    assert_eq!(std::fs::read_to_string(at("srv/other")).unwrap(), "s3cret");
    assert_eq!(std::fs::read_to_string(at("srv/keys/stream-key")).unwrap(), "s3cret");
    assert!(!at("etc/tallybox/client.key").is_symlink() && !at("etc/tallybox/client.pem").exists());
    let told: Vec<&str> = report.left.iter().map(|left| left.what.as_str()).collect();
    assert!(
        told.contains(&"/etc/tallybox/client.key") && told.contains(&"/etc/tallybox/keys/stream-key"),
        "{report:?}"
    );
}

#[test]
fn what_stands_in_configuration_and_paths_that_climb_are_told() {
    let text =
        TEXT.replace("/etc/tallybox/client.key", "/etc/tallybox/../passwd").replace("${STREAM_KEY}", "inline-key");
    let (dir, machine, config) = machine(&text);
    std::fs::write(dir.path().join("etc/passwd"), "root").unwrap();
    let report = erase(&config, &machine, &request(&config));
    assert!(dir.path().join("etc/passwd").exists());
    let told = format!("{report:?}");
    assert!(told.contains("tallybox.toml: [ingest] url") && !told.contains("inline-key"), "{told}");
    assert!(told.contains("/etc/tallybox/../passwd"), "{told}");
}
