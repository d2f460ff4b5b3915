//! What documents and sources name exists: pages, sources, threads, environment variables.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::{documents, files, name, prose, root, sources, text};

/// Names that the sources give to threads.
fn thread_names(source: &str) -> BTreeSet<String> {
    let joined: String = source.split_whitespace().collect();
    let mut names = BTreeSet::new();
    for call in [".name(\"", "spawn(\"", "detached(\"", "serve(\""] {
        for rest in joined.split(call).skip(1) {
            // An element of GStreamer is named by a plain text.
            let Some((name, end)) = rest.split_once('"') else { continue };
            if call != ".name(\"" || end.starts_with(".to_owned())") {
                names.insert(name.to_owned());
            }
        }
    }
    names
}

#[test]
fn each_thread_is_in_the_code_structure() {
    let sample = "Builder::new().name(\"a\".to_owned()); AppSrc::builder().name(\"b\"); Worker::spawn(\n \"c\", work)";
    assert_eq!(thread_names(sample), ["a", "c"].map(str::to_owned).into());
    let page = text(&root().join("docs/code-structure.md"));
    let tests = |path: &PathBuf| name(path).contains("tests") || path.ends_with("src/worker.rs");
    let names: BTreeSet<_> = files(&root().join("src"))
        .into_iter()
        .filter(|path| path.extension().is_some_and(|end| end == "rs") && !tests(path))
        .flat_map(|path| thread_names(&text(&path)))
        .collect();
    let missing: Vec<_> = names.iter().filter(|name| !page.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty() && names.len() > 12, "threads {names:?}, and these are not on the page: {missing:?}");
}

/// Whether a text between backticks is a path of the sources; `…` and `*` stand for several.
fn is_source(text: &&str) -> bool {
    let folders = ["src/", "crates/", "tests/", "benches/", "packaging/", "scripts/", "systemd/"];
    (folders.iter().any(|folder| text.starts_with(folder))
        || Path::new(text).extension().is_some_and(|end| end == "rs"))
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "/-_.@".contains(c))
}

/// Whether there is such a path, or the end of one: `encoder/mod.rs`.
fn is_there(path: &str, sources: &[PathBuf]) -> bool {
    root().join(path).exists() || sources.iter().any(|source| source.ends_with(path))
}

#[test]
fn each_source_that_the_documents_name_exists() {
    let (mut gone, mut count, sources) = (Vec::new(), 0, sources());
    // A record of a decision speaks of the tree as it was.
    for document in documents().into_iter().filter(|path| !name(path).starts_with("docs/decisions/")) {
        for path in prose(&text(&document)).split('`').skip(1).step_by(2).filter(is_source) {
            count += 1;
            if !is_there(path, &sources) {
                gone.push(format!("{}: {path}", name(&document)));
            }
        }
    }
    assert!(gone.is_empty() && count > 40, "{count} sources are named, and these do not exist: {gone:#?}");
}

/// Pages of this repository that a text names: `docs/…md`.
fn pages_named(text: &str) -> BTreeSet<String> {
    let names = text.split("docs/").skip(1).filter_map(|rest| {
        let path: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric() || "/-_.".contains(*c)).collect();
        path.find(".md").map(|end| format!("docs/{}.md", &path[..end]))
    });
    names.collect()
}

#[test]
fn each_page_that_is_named_exists() {
    assert!(pages_named("see docs/a-b/README.md.").contains("docs/a-b/README.md"));
    let (mut gone, mut count) = (Vec::new(), 0);
    // This file names pages that do not exist.
    for path in sources().into_iter().filter(|path| !path.ends_with("tests/documents/names.rs")) {
        // Pictures and footage are no text.
        for page in pages_named(&std::fs::read_to_string(&path).unwrap_or_default()) {
            count += 1;
            if !root().join(&page).exists() {
                gone.push(format!("{}: {page}", name(&path)));
            }
        }
    }
    assert!(gone.is_empty() && count > 30, "{count} pages are named, and these do not exist: {gone:#?}");
}

/// Names of our own environment variables in a text.
fn variables(text: &str) -> BTreeSet<String> {
    let is_name = |c: &char| c.is_ascii_uppercase() || *c == '_';
    let names = text.split("TALLYBOX_").skip(1).map(|rest| rest.chars().take_while(is_name).collect::<String>());
    names.filter(|name| !name.is_empty()).map(|name| format!("TALLYBOX_{name}")).collect()
}

#[test]
fn contributing_lists_each_environment_variable() {
    let listed = variables(&text(&root().join("CONTRIBUTING.md")));
    let texts = sources().into_iter().filter_map(|path| std::fs::read_to_string(path).ok());
    let used: BTreeSet<_> = texts.flat_map(|text| variables(&text)).collect();
    let missing: Vec<_> = used.difference(&listed).collect();
    assert!(missing.is_empty() && used.len() > 10, "CONTRIBUTING.md does not list {missing:?} of {used:?}");
}
