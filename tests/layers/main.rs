//! The layers of the tree: the rooms of `src/capture` import downwards only, the roles stay apart, and no two modules
//! import each other, not by a detour either.
#![allow(clippy::unwrap_used, clippy::panic)]

mod dates;
mod disk;
mod graph;
mod modules;
mod sockets;
mod tokens;

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use graph::circles;
use modules::{Name, Tree};

/// The rooms of `src/capture`, lowest first: each imports only from those before it. `mod` is `src/capture/mod.rs`.
const CAPTURE: [&str; 15] = [
    "error",
    "gst",
    "media",
    "guard_link",
    "queue",
    "compositor",
    "audio",
    "input",
    "encoder",
    "session_context",
    "output",
    "graph",
    "probe",
    "session",
    "mod",
];

/// What rooms of `src` must not import (docs/architecture.md): the roles meet in `ipc`.
const APART: [(&str, &[&str]); 11] = [
    ("guard", &["agent", "capture", "cli", "demo"]),
    ("judges", &["guard", "agent", "capture", "panel", "cli", "demo"]),
    ("agent", &["guard", "judges", "capture", "panel", "cli", "demo"]),
    ("updater", &["guard", "judges", "agent", "capture", "panel", "ledger", "cli", "demo"]),
    ("capture", &["guard", "judges", "agent", "panel", "ledger", "cli", "demo"]),
    ("camera", &["guard", "judges", "agent", "capture", "panel", "ledger", "cli", "demo"]),
    ("ipc", &["guard", "judges", "agent", "capture", "panel", "ledger", "cli", "demo"]),
    ("ledger", &["guard", "judges", "agent", "capture", "panel", "cli", "demo"]),
    ("panel", &["guard", "judges", "agent", "capture", "ledger", "cli", "demo"]),
    ("config", &["guard", "judges", "agent", "capture", "panel", "ledger", "cli", "demo"]),
    ("clock", &["guard", "judges", "agent", "capture", "panel", "ledger", "cli", "demo", "config", "ipc"]),
];

/// Every source file with its path, as the repository has them.
fn sources() -> Vec<(String, String)> {
    files(&["src", "crates"], &["rs"])
}

/// The files below these folders whose names end so, with their paths, as the repository has them.
fn files(folders: &[&str], ends: &[&str]) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pending: Vec<PathBuf> = folders.iter().map(|folder| root.join(folder)).collect();
    let mut all = Vec::new();
    while let Some(dir) = pending.pop() {
        for path in std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                pending.push(path);
            } else if path.extension().is_some_and(|end| ends.iter().any(|wanted| end == *wanted)) {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                all.push((name, std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    all
}

/// Imports from one room of capture to another that is not below it, and rooms that are not in the list.
fn upward_imports(tree: &Tree) -> Vec<String> {
    let room = |name: &Name| {
        let [krate, role, inner @ ..] = name.as_slice() else { return None };
        (krate == "tallybox" && role == "capture").then(|| inner.first().map_or("mod", String::as_str).to_owned())
    };
    let level = |room: &str| CAPTURE.iter().position(|known| *known == room);
    let mut found = Vec::new();
    for (name, imports) in tree.imports() {
        let Some(own) = room(name) else { continue };
        if level(&own).is_none() {
            found.push(format!("the room {own} has no place in the list"));
        }
        for import in imports {
            let Some(other) = room(&import).filter(|other| *other != own) else { continue };
            if level(&other) >= level(&own) {
                found.push(format!("{} imports {}", name.join("::"), import.join("::")));
            }
        }
    }
    found
}

/// Imports between rooms of `src` that have to stay apart.
fn forbidden_imports(tree: &Tree) -> Vec<String> {
    let room = |name: &Name| (name[0] == "tallybox").then(|| name.get(1).cloned()).flatten();
    let mut found = Vec::new();
    for (name, imports) in tree.imports() {
        let forbidden = APART.iter().find(|(own, _)| room(name).as_deref() == Some(own)).map_or(&[][..], |row| row.1);
        for import in
            imports.iter().filter(|import| room(import).is_some_and(|room| forbidden.contains(&room.as_str())))
        {
            found.push(format!("{} imports {}", name.join("::"), import.join("::")));
        }
    }
    found
}

/// Modules that import each other. In capture a folder's `mod.rs` counts as a module of its own. Elsewhere a module is
/// one with its children: `panel` has the trait that `panel::cdev` implements, and chooses among its drivers.
fn import_circles(tree: &Tree) -> Vec<Vec<String>> {
    let mut imports = tree.imports();
    for (name, imports) in imports.iter_mut().filter(|(name, _)| name.get(1).is_none_or(|role| role != "capture")) {
        imports.retain(|import| !import.starts_with(name));
    }
    let shown = |name: &Name| name.join("::").trim_start_matches("tallybox::").to_owned();
    circles(&imports).iter().map(|circle| circle.iter().map(|name| shown(name)).collect()).collect()
}

/// The sources, read once for all tests.
fn tree() -> &'static Tree {
    static TREE: LazyLock<Tree> = LazyLock::new(|| Tree::new(&sources()));
    &TREE
}

#[test]
fn capture_imports_downwards() {
    assert_eq!(upward_imports(tree()), [""; 0]);
    let imports = tree().imports();
    let is_room = |room: &str| imports.keys().any(|name| name.len() > 2 && name[1] == "capture" && name[2] == room);
    let gone: Vec<_> = CAPTURE.iter().filter(|room| **room != "mod" && !is_room(room)).collect();
    assert!(gone.is_empty(), "no such rooms: {gone:?}");
}

#[test]
fn roles_stay_apart() {
    assert_eq!(forbidden_imports(tree()), [""; 0]);
}

#[test]
fn no_modules_import_each_other() {
    assert_eq!(import_circles(tree()), [[""; 0]; 0]);
}

/// A tree of files for the tests below.
fn tree_of(files: &[(&str, &str)]) -> Tree {
    let owned: Vec<_> = files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
    Tree::new(&owned)
}

#[test]
fn an_import_upwards_is_found_through_a_re_export_and_a_path_in_code() {
    let found = upward_imports(&tree_of(&[
        ("src/lib.rs", "pub mod capture;"),
        ("src/capture/mod.rs", "mod media;"),
        ("src/capture/media/mod.rs", "pub(crate) mod frame;"),
        ("src/capture/media/frame.rs", "fn f() { let _ = crate::capture::queue::FrameQueue::default(); }"),
        ("src/capture/queue/mod.rs", "mod kept; pub(crate) use kept::FrameQueue; use crate::capture::media::frame;"),
        ("src/capture/queue/kept.rs", "use super::super::{error, output as o};\nfn f() { o::begin() }"),
        ("src/capture/output/mod.rs", "// use crate::capture::probe;\nfn f() { \"crate::capture::probe\"; }"),
        ("src/capture/error.rs", "#[cfg(test)]\nuse crate::capture::probe::run;\n#[cfg(test)]\nmod checks;"),
        ("src/capture/error/checks.rs", "use crate::capture::probe::run;"),
        ("src/capture/probe.rs", ""),
        ("src/capture/stray/mod.rs", ""),
    ]));
    assert_eq!(
        found,
        [
            "tallybox::capture::media::frame imports tallybox::capture::queue::kept",
            "tallybox::capture::queue::kept imports tallybox::capture::output",
            "the room stray has no place in the list",
        ]
    );
}

#[test]
fn roles_that_meet_outside_of_ipc_are_found() {
    let found = forbidden_imports(&tree_of(&[
        ("src/guard/mod.rs", "use crate::{capture::{self, Door}, ipc::Start};"),
        ("src/capture/mod.rs", "pub(crate) struct Door;"),
        ("src/ipc.rs", "use crate::agent;"),
        ("src/agent.rs", "use crate::ipc::Start;"),
        ("src/cli.rs", "use crate::{agent, capture, guard};"),
    ]));
    assert_eq!(found, ["tallybox::guard imports tallybox::capture", "tallybox::ipc imports tallybox::agent"]);
}

#[test]
fn a_circle_is_found_by_its_detour() {
    let files = [
        ("crates/pure/src/lib.rs", "mod one; mod two; pub mod three;"),
        ("crates/pure/src/one.rs", "use crate::two::Two;"),
        ("crates/pure/src/two.rs", "use super::three;\nfn f<'a>(_: &'a str) -> char { three::run(); '\"' }"),
        ("crates/pure/src/three.rs", "pub(crate) use self::inner::One;\nmod inner;"),
        ("crates/pure/src/three/inner.rs", "pub(crate) struct One(super::Three);"),
    ];
    assert_eq!(import_circles(&tree_of(&files)), [["pure::one", "pure::three", "pure::two"]; 0]);
    let mut files = files;
    files[3].1 = "fn run(one: crate::one::One) {}";
    assert_eq!(import_circles(&tree_of(&files)), [["pure::one", "pure::three", "pure::two"]]);
}
