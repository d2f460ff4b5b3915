//! A ledger that was handed out: proved without the box, and by docs/tallybox-verify.py, which shares no code with it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::support::TALLYBOX;
use crate::support::test_box::{BoxConfig, TestBox};

/// Verifies a file with no configuration anywhere.
fn verify(file: &Path) -> Output {
    let mut command = Command::new(TALLYBOX);
    command.args(["ledger", "verify"]).arg(file).args(["--config", "/nowhere/tallybox.toml"]).output().unwrap()
}

/// The program for privacy officers.
pub(crate) fn python(args: &[&str]) -> Output {
    let tool = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/tallybox-verify.py");
    Command::new("python3").arg(tool).args(args).stdin(Stdio::null()).output().unwrap()
}

fn verify_by_document(file: &Path) -> bool {
    python(&["export", file.to_str().unwrap()]).status.success()
}

pub(crate) fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// A box's export after one session, in a folder of its own.
struct Handed {
    shop: TestBox,
    export: String,
    dir: tempfile::TempDir,
}

impl Handed {
    fn out() -> Self {
        let shop = TestBox::new(&BoxConfig::default());
        let mut run = shop.start("run");
        shop.press();
        shop.wait_for_phase("connecting");
        shop.press();
        shop.wait_for_phase("idle");
        run.finish();
        let export = String::from_utf8(shop.call(&["ledger", "export"]).stdout).unwrap();
        assert!(export.lines().count() >= 6, "{export}");
        Self { shop, export, dir: tempfile::tempdir().unwrap() }
    }

    fn lines(&self) -> Vec<&str> {
        self.export.lines().collect()
    }

    /// The export with another line in place of that of `number`, from 0.
    fn with(&self, number: usize, line: &str) -> String {
        let mut changed = self.lines();
        changed[number] = line;
        changed.join("\n") + "\n"
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

#[test]
fn an_export_is_verified_off_the_box() {
    let handed = Handed::out();
    let lines = handed.lines();
    let whole = handed.file("whole", &handed.export);
    let good = verify(&whole);
    assert!(good.status.success() && text(&good).contains(&format!("{0} entries, 1 to {0}", lines.len())), "{good:?}");
    assert!(verify_by_document(&whole));
    // What begins later says so; events, with an id each, are as good.
    let rest = handed.file("rest", &(lines[3..].join("\n") + "\n"));
    assert!(text(&verify(&rest)).contains("it begins behind entry 3") && verify_by_document(&rest));
    let events: String = lines.iter().map(|line| line.replacen('{', "{\"id\":\"x-1\",", 1) + "\n").collect();
    assert!(verify(&handed.file("events", &events)).status.success());
    // A copy of the store, in a folder that cannot be written to.
    let copy = handed.dir.path().join("copy of ledger?.db");
    std::fs::copy(handed.shop.path("data/ledger.db"), &copy).unwrap();
    let proved = verify(&copy);
    assert!(proved.status.success() && text(&proved).contains("verify; last hash"), "{proved:?}");
    let absent = verify(&handed.dir.path().join("absent"));
    assert!(absent.status.code() == Some(66) && text(&absent).contains("absent"), "{absent:?}");
}

#[test]
fn a_changed_field_shows_with_its_line() {
    let handed = Handed::out();
    for (number, line) in handed.lines().iter().enumerate() {
        for (from, to) in [
            ("\"at\":\"2", "\"at\":\"3"),
            ("\"clock\":\"2", "\"clock\":\"3"),
            ("\"synchronised\":", "\"synchronised\": true,\"was\":"),
            ("\"monotonic-ms\":", "\"monotonic-ms\":1"),
            ("\"boot\":\"", "\"boot\":\"0"),
            ("\"kind\":\"", "\"kind\":\"x"),
        ] {
            let bad = handed.file("changed", &handed.with(number, &line.replacen(from, to, 1)));
            let found = verify(&bad);
            assert_eq!(found.status.code(), Some(65), "line {number}, {from}: {found:?}");
            assert!(text(&found).contains(&format!("line {}: ", number + 1)), "{found:?}");
            // One line for that program: each costs a start of Python.
            let told = number != 1 || from.contains("synchronised") || !verify_by_document(&bad);
            assert!(told, "line {number}, {from}");
        }
    }
}

#[test]
fn a_line_that_is_missing_moved_or_foreign_shows() {
    let handed = Handed::out();
    let lines = handed.lines();
    let other = TestBox::new(&BoxConfig::default());
    other.start("guard").finish();
    let foreign = String::from_utf8(other.call(&["ledger", "export"]).stdout).unwrap();
    let mut left_out = lines.clone();
    left_out.remove(2);
    let mut moved = lines.clone();
    moved.swap(1, 2);
    let doubled = [lines[0], lines[0]].concat();
    for (name, bad) in [
        ("left out", left_out.join("\n")),
        ("moved", moved.join("\n")),
        ("doubled", doubled),
        ("of another ledger", handed.with(1, foreign.lines().nth(1).unwrap())),
        ("without a beginning", handed.with(0, &lines[0].replacen("\"seq\":1,", "\"seq\":2,", 1))),
        ("cut", handed.export[..handed.export.len() - 9].to_owned()),
        ("empty", String::new()),
        ("no export", "hello\n".to_owned()),
    ] {
        let bad = handed.file("bad", &bad);
        assert_eq!(verify(&bad).status.code(), Some(65), "{name}");
        assert!(!verify_by_document(&bad), "{name}");
    }
}

#[test]
fn entries_are_shown_and_exported_from_a_day_on() {
    let Handed { shop, export, dir: _dir } = Handed::out();
    let last: serde_json::Value = serde_json::from_str(export.lines().last().unwrap()).unwrap();
    let since = shop.call(&["ledger", "show", "--since", last["at"].as_str().unwrap()]);
    assert_eq!(text(&since).lines().count(), 1, "{since:?}");
    let day = &last["at"].as_str().unwrap()[..10];
    let tomorrow = day.parse::<jiff::civil::Date>().unwrap().tomorrow().unwrap().to_string();
    assert_eq!(text(&shop.call(&["ledger", "show", "--since", &tomorrow])), "");
    assert_eq!(text(&shop.call(&["ledger", "export", "--since", "2000-01-01"])), export);
    let wrong = shop.call(&["ledger", "show", "--since", "yesterday"]);
    assert!(wrong.status.code() == Some(64) && text(&wrong).contains("write 2026-11-29"), "{wrong:?}");
}
