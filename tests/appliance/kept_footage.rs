//! Footage that could not be delivered: kept for the operator alone, and gone when it has to go. The `age` program and
//! ffprobe judge what is in it, a real file system's image what is not.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::support::test_box::{BoxConfig, TestBox};
use crate::support::wait_until;

/// A box that keeps footage for the key in the file `key`.
pub(crate) fn shop(more: &str) -> TestBox {
    let dir = tempfile::tempdir().unwrap();
    let made = Command::new("age-keygen").arg("-o").arg(dir.path().join("key")).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    let text = std::fs::read_to_string(dir.path().join("key")).unwrap();
    let recipient = text.lines().find_map(|line| line.strip_prefix("# public key: ")).unwrap().to_owned();
    let ingest = "rtmp://127.0.0.1:9/live/key-of-the-stream\"\noutage-buffer = \"disk\"\n#\"".to_owned();
    let more = format!("[privacy]\nfootage-recipient = \"{recipient}\"\n{more}");
    let shop = TestBox::new(&BoxConfig { ingest, more, ..BoxConfig::default() });
    std::fs::copy(dir.path().join("key"), shop.path("key")).unwrap();
    shop
}

pub(crate) fn footage(shop: &TestBox) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(shop.path("data/footage")).into_iter().flatten().flatten();
    let mut files: Vec<_> = entries.map(|entry| entry.path()).collect();
    files.sort();
    files
}

/// A session that reaches no server, ended after some pictures.
pub(crate) fn session(shop: &TestBox) {
    let before = footage(shop);
    shop.press();
    shop.wait_for_phase("connecting");
    wait_until("some pictures wait", || {
        let queued = shop.status().and_then(|status| status["stream"]["queue-ms"].as_u64());
        queued.is_some_and(|queued| queued > 3000)
    });
    assert_eq!(footage(shop), before, "nothing has a name while it may still be delivered");
    shop.press();
    shop.wait_for_phase("idle");
}

fn last(shop: &TestBox, kind: &str) -> Option<Value> {
    shop.ledger().into_iter().rfind(|fact| fact["kind"] == kind)
}

#[test]
fn what_was_not_delivered_is_the_operators_and_a_lock_destroys_it() {
    let shop = shop("");
    let mut guard = shop.start("guard");
    session(&shop);
    let files = footage(&shop);
    assert_eq!(files, [shop.path("data/footage/1-1.age")]);
    let kept = last(&shop, "footage-kept").expect("an entry");
    assert_eq!((&kept["session"], &kept["files"]), (&1.into(), &1.into()), "{kept}");
    assert_eq!(shop.status().unwrap()["footage"]["files"], 1, "staff are told");
    // The operator plays it.
    let plain = shop.path("show.flv");
    let mut age = Command::new("age");
    age.arg("-d").arg("-i").arg(shop.path("key")).arg("-o").arg(&plain).arg(&files[0]);
    assert!(age.status().unwrap().success());
    let probe = Command::new("ffprobe")
        .args(["-v", "error", "-show_entries", "stream=codec_name", "-of", "csv=p=0"])
        .arg(&plain)
        .output()
        .unwrap();
    let codecs = String::from_utf8_lossy(&probe.stdout).into_owned();
    assert!(codecs.contains("h264") && codecs.contains("aac"), "{codecs} {probe:?}");
    let packets = crate::ingest::packets(&plain, "v");
    assert!(packets.len() > 50 && packets[0].key, "{} pictures", packets.len());
    // It outlives the guard in this boot, because the ledger has its time.
    guard.kill();
    let _guard = shop.start("guard");
    std::thread::sleep(std::time::Duration::from_millis(5500));
    assert_eq!(footage(&shop), files);
    shop.hold("5.5");
    wait_until("the lock destroys it", || footage(&shop).is_empty());
    wait_until("and says so", || last(&shop, "footage-destroyed").is_some_and(|fact| fact["why"] == "lock"));
    assert!(shop.status().unwrap()["footage"].is_null());
    shop.verify();
}

#[test]
fn at_its_time_and_without_an_entry_it_goes_by_itself() {
    let shop = shop("footage-retention = \"20s\"\n");
    let guard = shop.start("guard");
    session(&shop);
    assert_eq!(footage(&shop).len(), 1);
    std::fs::write(shop.path("data/footage/99-1.age"), "whose?").unwrap();
    wait_until("what nobody knows is gone", || !shop.path("data/footage/99-1.age").exists());
    wait_until("its time is over", || footage(&shop).is_empty());
    // The entry follows the deletion.
    wait_until("both are written down", || {
        let ledger = shop.ledger();
        let destroyed = ledger.iter().filter(|fact| fact["kind"] == "footage-destroyed");
        destroyed.map(|fact| fact["why"].as_str().unwrap()).eq(["doubt", "retention"])
    });
    drop(guard);
}

/// The power failed before all of a session's footage was on the disk.
#[test]
fn footage_that_a_power_cut_tore_goes_and_holds_nobody_up() {
    let shop = shop("");
    let mut guard = shop.start("guard");
    session(&shop);
    guard.kill();
    let file = footage(&shop).remove(0);
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    let mut guard = shop.start("guard");
    wait_until("it is destroyed", || footage(&shop).is_empty());
    wait_until("and written down", || last(&shop, "footage-destroyed").is_some_and(|fact| fact["why"] == "doubt"));
    // Its end became zeros: what can be told from outside is as before, and the operator reads what is whole.
    session(&shop);
    guard.kill();
    let file = footage(&shop).remove(0);
    let mut torn = std::fs::read(&file).unwrap();
    let at = torn.len() * 2 / 3;
    torn[at..].fill(0);
    std::fs::write(&file, torn).unwrap();
    let _guard = shop.start("guard");
    session(&shop);
    let read = Command::new("age").arg("-d").arg("-i").arg(shop.path("key")).arg(&file).output().unwrap();
    assert!(
        !read.status.success() && read.stdout.starts_with(b"FLV") && read.stdout.len() < at,
        "{}",
        read.stdout.len()
    );
    // Its name never came to the disk: the ledger does not go on saying that it is there.
    std::fs::remove_file(file).unwrap();
    let destroyed = || shop.ledger().iter().filter(|fact| fact["kind"] == "footage-destroyed").count();
    wait_until("it is written down as gone", || destroyed() == 2);
    shop.verify();
}

/// An ext4 image of data-dir, made by mkfs.ext4.
fn card(shop: &TestBox) -> Vec<u8> {
    let image = shop.path("card.img");
    let _ = std::fs::remove_file(&image);
    let made = Command::new("mkfs.ext4").args(["-q", "-d"]).arg(shop.path("data")).arg(&image).arg("16M").output();
    let made = made.unwrap();
    assert!(made.status.success(), "{made:?}");
    std::fs::read(image).unwrap()
}

/// How many of `pieces` are in `text`, in one pass.
fn count_in(text: &[u8], pieces: &[&[u8]]) -> usize {
    let begins: std::collections::BTreeSet<&[u8]> = pieces.iter().map(|piece| &piece[..8]).collect();
    let firsts: Vec<bool> = (0..=u8::MAX).map(|byte| begins.iter().any(|begin| begin[0] == byte)).collect();
    let mut found: std::collections::BTreeSet<&[u8]> = std::collections::BTreeSet::new();
    for at in 0..text.len() - 32 {
        if firsts[usize::from(text[at])] && begins.contains(&text[at..at + 8]) {
            found.extend(pieces.iter().copied().filter(|piece| text[at..].starts_with(piece)));
        }
    }
    found.len()
}

/// Pieces of a file from everywhere in it, each only once.
fn pieces(plain: &[u8]) -> Vec<&[u8]> {
    let all: std::collections::BTreeSet<&[u8]> = plain.chunks_exact(32).step_by(plain.len() / 32 / 60).collect();
    // Padding is the same everywhere, on an empty disk too.
    all.into_iter().filter(|piece| piece.iter().any(|byte| *byte != piece[0])).collect()
}

/// The raw image of a card has neither pictures nor the operator's key.
#[test]
fn a_stolen_card_has_no_picture() {
    let shop = shop("");
    let mut guard = shop.start("guard");
    session(&shop);
    let sealed = footage(&shop).remove(0);
    let plain = Command::new("age").arg("-d").arg("-i").arg(shop.path("key")).arg(&sealed).output().unwrap().stdout;
    guard.finish();
    let secret = std::fs::read_to_string(shop.path("key")).unwrap();
    let key = secret.lines().find(|line| line.starts_with("AGE-SECRET-KEY")).unwrap();
    let mut marks = pieces(&plain);
    assert!(marks.len() > 50, "{}", marks.len());
    marks.push(&key.as_bytes()[..32]);
    let image = card(&shop);
    assert_eq!(count_in(&image, &marks), 0);
    let sealed = std::fs::read(sealed).unwrap();
    assert_eq!(count_in(&image, &pieces(&sealed)), pieces(&sealed).len(), "the image has the file");
    // The same search finds what is there.
    std::fs::write(shop.path("data/planted"), [&plain, key.as_bytes()].concat()).unwrap();
    assert_eq!(count_in(&card(&shop), &marks), marks.len());
}

/// The helper that runs as root, as the path unit starts it, with the guard before and after.
#[test]
fn credentials_under_etc_are_gone_before_the_receipt_is_signed() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let shop = TestBox::new(&BoxConfig::default());
    let log = std::fs::File::create(shop.path("log")).unwrap();
    let mut command = shop.command(&["guard", "--credentials-helper"]);
    let _guard = crate::support::Program::start(command.stdin(std::process::Stdio::null()).stderr(log));
    wait_until("the guard answers", || shop.status().is_some());
    shop.hold("10.5");
    let request = shop.path("data/credentials-erasure");
    wait_until("the guard asks", || request.exists());
    assert_eq!(shop.status().unwrap()["unbound"], true, "it is unbound from the first moment");
    assert!(shop.path("data/credentials/identity").exists(), "the key has a receipt to sign");
    assert!(last(&shop, "unbound").is_none());
    let helped = shop.call(&["privacy", "erase-credentials"]);
    assert!(helped.status.success(), "{helped:?}");
    wait_until("it is unbound", || last(&shop, "unbound").is_some());
    assert!(!request.exists() && !shop.path("data/receipt.note").exists());
    let receipt = last(&shop, "unbound").unwrap()["receipt"].as_str().unwrap().to_owned();
    // No units here, and the stream's key stands in the configuration: both are said.
    assert!(receipt.contains("[ingest] url") && receipt.contains("credentials of the units"), "{receipt}");
    assert!(!receipt.contains("key-of-the-stream"));
    let again = shop.call(&["privacy", "erase-credentials"]);
    assert!(again.status.success(), "nothing is asked for, and nothing is done: {again:?}");
}
