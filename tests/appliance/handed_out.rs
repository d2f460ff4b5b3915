//! A ledger that was handed out: proved without the box, and by a program written from docs/ledger.md alone.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::support::TALLYBOX;
use crate::support::test_box::{BoxConfig, TestBox};

/// Verifies a file with no configuration anywhere.
fn verify(file: &Path) -> Output {
    let mut command = Command::new(TALLYBOX);
    command.args(["ledger", "verify"]).arg(file).args(["--config", "/nowhere/tallybox.toml"]).output().unwrap()
}

/// The same by the document's own program.
fn verify_by_document(file: &Path) -> bool {
    let document = include_str!("../../docs/ledger.md");
    let program = document.split("```python\n").nth(1).unwrap().split("```").next().unwrap();
    let input = std::fs::File::open(file).unwrap();
    let output = Command::new("python3").args(["-c", program]).stdin(input).stderr(Stdio::null()).output().unwrap();
    output.status.success()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn a_ledger_is_proved_off_the_box() {
    let shop = TestBox::new(&BoxConfig::default());
    let mut run = shop.start("run");
    shop.press();
    shop.wait_for_phase("connecting");
    shop.press();
    shop.wait_for_phase("idle");
    run.finish();
    let export = String::from_utf8(shop.call(&["ledger", "export"]).stdout).unwrap();
    let lines: Vec<&str> = export.lines().collect();
    assert!(lines.len() >= 6, "{export}");
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| -> PathBuf {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let whole = file("whole", &export);
    let good = verify(&whole);
    assert!(good.status.success() && text(&good).contains(&format!("{0} entries, 1 to {0}", lines.len())), "{good:?}");
    assert!(verify_by_document(&whole));
    // What begins later says so; events, with an id each, are as good.
    let rest = file("rest", &(lines[3..].join("\n") + "\n"));
    assert!(text(&verify(&rest)).contains("it begins behind entry 3") && verify_by_document(&rest));
    let events: String = lines.iter().map(|line| line.replacen('{', "{\"id\":\"x-1\",", 1) + "\n").collect();
    assert!(verify(&file("events", &events)).status.success());
    // A copy of the store, in a folder that cannot be written to.
    let copy = dir.path().join("copy of ledger?.db");
    std::fs::copy(shop.path("data/ledger.db"), &copy).unwrap();
    let proved = verify(&copy);
    assert!(proved.status.success() && text(&proved).contains("verify; last hash"), "{proved:?}");

    // Anything that was changed, left out, put in, moved, or is of another ledger shows, here and there.
    let other = TestBox::new(&BoxConfig::default());
    other.start("guard").finish();
    let foreign = String::from_utf8(other.call(&["ledger", "export"]).stdout).unwrap();
    let with = |number: usize, line: &str| {
        let mut changed = lines.clone();
        changed[number] = line;
        changed.join("\n") + "\n"
    };
    for (number, line) in lines.iter().enumerate() {
        for (from, to) in [
            ("\"at\":\"2", "\"at\":\"3"),
            ("\"clock\":\"2", "\"clock\":\"3"),
            ("\"synchronised\":", "\"synchronised\": true,\"was\":"),
            ("\"monotonic-ms\":", "\"monotonic-ms\":1"),
            ("\"boot\":\"", "\"boot\":\"0"),
            ("\"kind\":\"", "\"kind\":\"x"),
        ] {
            let bad = file("changed", &with(number, &line.replacen(from, to, 1)));
            let found = verify(&bad);
            assert_eq!(found.status.code(), Some(65), "line {number}, {from}: {found:?}");
            assert!(text(&found).contains(&format!("line {}: ", number + 1)), "{found:?}");
            // One line for the document's program: each costs a start of Python.
            let told = number != 1 || from.contains("synchronised") || !verify_by_document(&bad);
            assert!(told, "line {number}, {from}");
        }
    }
    let mut left_out = lines.clone();
    left_out.remove(2);
    let mut moved = lines.clone();
    moved.swap(1, 2);
    let doubled = [lines[0], lines[0]].concat();
    for (name, bad) in [
        ("left out", left_out.join("\n")),
        ("moved", moved.join("\n")),
        ("doubled", doubled),
        ("of another ledger", with(1, foreign.lines().nth(1).unwrap())),
        ("without a beginning", with(0, &lines[0].replacen("\"seq\":1,", "\"seq\":2,", 1))),
        ("cut", export[..export.len() - 9].to_owned()),
        ("empty", String::new()),
        ("no export", "hello\n".to_owned()),
    ] {
        let bad = file("bad", &bad);
        assert_eq!(verify(&bad).status.code(), Some(65), "{name}");
        assert!(!verify_by_document(&bad), "{name}");
    }
    let absent = verify(&dir.path().join("absent"));
    assert!(absent.status.code() == Some(66) && text(&absent).contains("absent"), "{absent:?}");

    // From a day on.
    let last: serde_json::Value = serde_json::from_str(lines[lines.len() - 1]).unwrap();
    let since = shop.call(&["ledger", "show", "--since", last["at"].as_str().unwrap()]);
    assert_eq!(text(&since).lines().count(), 1, "{since:?}");
    let day = &last["at"].as_str().unwrap()[..10];
    let tomorrow = day.parse::<jiff::civil::Date>().unwrap().tomorrow().unwrap().to_string();
    assert_eq!(text(&shop.call(&["ledger", "show", "--since", &tomorrow])), "");
    assert_eq!(text(&shop.call(&["ledger", "export", "--since", "2000-01-01"])), export);
    let wrong = shop.call(&["ledger", "show", "--since", "yesterday"]);
    assert!(wrong.status.code() == Some(64) && text(&wrong).contains("write 2026-11-29"), "{wrong:?}");
}
