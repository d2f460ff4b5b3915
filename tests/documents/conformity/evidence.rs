//! What shows something, and whether it is there. An item is one of
//! - `FILE.rs::FUNCTION`: a test that is compiled and runs; `tests/vm/FILE.py::FUNCTION`: a scenario;
//! - a page, or a heading of it: `SECURITY.md#report`;
//! - `FILE: TEXT`: that text stands in that file;
//! - `make TARGET`: that target is in the Makefile;
//! - any other path: a program that a make target runs.

use std::path::{Path, PathBuf};

use crate::{root, text};

/// Why an item is not there.
pub(super) fn missing(item: &str) -> Option<String> {
    if let Some(target) = item.strip_prefix("make ") {
        let there = text(&root().join("Makefile")).lines().any(|line| line.starts_with(&format!("{target}:")));
        return (!there).then(|| "the Makefile has no such target".to_owned());
    }
    if let Some((file, line)) = item.split_once(": ") {
        let there = read(file).is_some_and(|text| text.contains(line));
        return (!there).then(|| "that file has no such text".to_owned());
    }
    if let Some((file, function)) = item.split_once("::") {
        let Some(text) = read(file) else { return Some("there is no such file".to_owned()) };
        return if ends(file, "py") { no_scenario(file, &text, function) } else { no_test(file, &text, function) };
    }
    let (path, heading) = item.split_once('#').unwrap_or((item, ""));
    let Some(text) = read(path) else { return Some("there is no such file".to_owned()) };
    if ends(path, "md") {
        let known = heading.is_empty() || crate::links::anchors(&text).contains(heading);
        return (!known).then(|| "that page has no such heading".to_owned());
    }
    let callers = [Path::new(path).with_file_name("run"), PathBuf::from("Makefile")];
    let name = Path::new(path).file_name().unwrap().to_str().unwrap();
    let called = callers.iter().filter_map(|caller| read(caller.to_str().unwrap())).any(|caller| caller.contains(name));
    (!called).then(|| "nothing runs that program".to_owned())
}

fn ends(path: &str, kind: &str) -> bool {
    Path::new(path).extension().is_some_and(|end| end == kind)
}

fn read(path: &str) -> Option<String> {
    std::fs::read_to_string(root().join(path)).ok()
}

/// The lines above the function that are attributes or comments, nearest first; none if there is no such function.
fn above<'a>(text: &'a str, start: &str) -> Option<Vec<&'a str>> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let at = lines.iter().position(|line| line.trim_start_matches("async ").starts_with(start))?;
    Some(lines[..at].iter().rev().copied().take_while(|line| line.starts_with(['#', '/', '@'])).collect())
}

fn no_test(file: &str, text: &str, function: &str) -> Option<String> {
    let Some(above) = above(text, &format!("fn {function}(")) else {
        return Some("there is no such function".to_owned());
    };
    let is_test = above.iter().any(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test"));
    let ignored = above.iter().any(|line| line.starts_with("#[ignore"));
    if !is_test || ignored {
        return Some("that function is no test, or is ignored".to_owned());
    }
    if !is_compiled(file) {
        return Some("that file is not part of the build".to_owned());
    }
    (!is_run(file)).then(|| "make test does not run the tests of that crate".to_owned())
}

/// Whether `make test` runs the tests of the crate that has the file.
fn is_run(file: &str) -> bool {
    let Some(name) = file.strip_prefix("crates/").and_then(|rest| rest.split('/').next()) else { return true };
    let makefile = text(&root().join("Makefile"));
    let is_named_after = |word: &str, lines: &dyn Fn(&str) -> bool| {
        let words: Vec<&str> =
            makefile.lines().filter(|line| lines(line.trim())).flat_map(str::split_whitespace).collect();
        let names = words.windows(2).filter(|pair| pair[0] == word).map(|pair| pair[1]);
        names.into_iter().any(|package| package == name || package.strip_prefix("tallybox-") == Some(name))
    };
    let is_tested = |line: &str| line.starts_with("cargo test ");
    // Cargo takes each folder there for a member, or complains.
    let is_crate = root().join("crates").join(name).join("Cargo.toml").exists();
    let all =
        is_crate && makefile.contains("\nCRATES := --workspace ") && makefile.contains("\tcargo test $(CRATES)\n");
    all && !is_named_after("--exclude", &|line| line.starts_with("CRATES")) || is_named_after("-p", &is_tested)
}

/// Whether the module above a source file has it, or it is a root of its own.
fn is_compiled(file: &str) -> bool {
    let path = Path::new(file);
    let (stem, folder) = (path.file_stem().unwrap().to_str().unwrap(), path.parent().unwrap());
    let is_root = matches!(stem, "main" | "lib")
        || (folder.ends_with("tests") && root().join(folder).with_file_name("Cargo.toml").exists());
    let (name, folder) = if stem == "mod" {
        (folder.file_name().unwrap().to_str().unwrap(), folder.parent().unwrap())
    } else {
        (stem, folder)
    };
    let owners = ["mod.rs", "main.rs", "lib.rs"]
        .map(|owner| folder.join(owner))
        .into_iter()
        .chain([folder.with_extension("rs")]);
    let line = format!("mod {name};");
    is_root || owners.filter_map(|owner| read(owner.to_str().unwrap())).any(|text| text.contains(&line))
}

fn no_scenario(file: &str, text: &str, function: &str) -> Option<String> {
    let Some(above) = above(text, &format!("def {function}(")) else {
        return Some("there is no such function".to_owned());
    };
    if !above.first().is_some_and(|line| line.starts_with("@scenario(")) {
        return Some("that function is no scenario".to_owned());
    }
    let module = Path::new(file).file_stem().unwrap().to_str().unwrap();
    let runs = read("tests/vm/run").unwrap_or_default();
    (!runs.contains(module)).then(|| "tests/vm/run does not know that file".to_owned())
}

/// A name of a test as a sentence, and the file that has it.
pub(super) fn as_words(item: &str) -> Option<(String, &str)> {
    let (file, function) = item.split_once("::")?;
    let name = if ends(file, "py") { scenario(file, function) } else { None };
    Some((name.unwrap_or_else(|| function.replace('_', " ")), file))
}

/// The name that a scenario's row has, with N for what is filled in only when it runs.
fn scenario(file: &str, function: &str) -> Option<String> {
    let text = text(&root().join(file));
    let line = above(&text, &format!("def {function}("))?.first()?.strip_prefix("@scenario(")?.to_owned();
    let mut name = line.trim_start_matches('f').strip_prefix('"')?.split('"').next()?.to_owned();
    while let Some((before, (_, after))) =
        name.split_once('{').and_then(|(before, rest)| Some((before, rest.split_once('}')?)))
    {
        name = format!("{before}N{after}");
    }
    Some(format!("in the virtual machine: {name}"))
}

#[test]
fn what_is_gone_is_found_and_what_is_there_is_not() {
    let there = [
        "src/ledger/tests.rs::whatever_is_changed_shows",
        "crates/consent/src/tests/mod.rs::a_lock_survives_a_power_cut",
        "crates/notes/tests/notes.rs::every_flipped_bit_is_refused",
        "tests/units.rs::exposure_stays_under_its_limit",
        "tests/vm/on_air.py::lock",
        "tests/deb/lifecycle",
        "make vm-test",
        "docs/ledger.md#the-hash",
        "systemd/tallybox-guard.service: PrivateNetwork=yes",
    ];
    assert_eq!(there.map(missing), [const { None }; 9]);
    let gone = [
        ("src/ledger/tests.rs::whatever_is_changed_hides", "no such function"),
        ("src/ledger/gone.rs::whatever_is_changed_shows", "no such file"),
        ("src/ledger/tests.rs::entry", "no such function"),
        ("tests/documents/conformity/evidence.rs::read", "no test"),
        ("tests/vm/on_air.py::wait", "no such function"),
        ("tests/vm/box.py::prepare", "no scenario"),
        ("make nothing", "no such target"),
        ("tests/deb/none", "no such file"),
        ("Cargo.lock", "nothing runs"),
        ("docs/ledger.md#the-hush", "no such heading"),
        ("systemd/tallybox-guard.service: PrivateNetwork=no", "no such text"),
    ];
    for (item, why) in gone {
        assert!(missing(item).is_some_and(|said| said.contains(why)), "{item}: {:?}", missing(item));
    }
    assert!(is_run("crates/fleet/src/cli.rs") && !is_run("crates/none/src/lib.rs"));
    let cuts = as_words("tests/vm/power.py::cuts").unwrap().0;
    assert!(cuts.starts_with("in the virtual machine: N power cuts"), "{cuts}");
    let ignored = no_test("src/lib.rs", "#[test]\n#[ignore = \"slow\"]\nfn a_b() {}", "a_b");
    assert!(ignored.is_some_and(|said| said.contains("ignored")));
    assert!(
        no_test("src/ledger/orphan.rs", "#[test]\nfn a_b() {}", "a_b").is_some_and(|said| said.contains("the build"))
    );
}
