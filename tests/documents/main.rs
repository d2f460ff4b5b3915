//! The documents: each link in them leads somewhere, each command that they name exists, each page says for whom it is,
//! no line is longer than an editor shows, and the tables of conformity name what exists.
#![allow(clippy::unwrap_used, clippy::panic)]

mod commands;
mod comments;
mod conformity;
mod links;
mod names;
mod package;
mod pages;

use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Longest line of a document, in characters.
const LONGEST: usize = 120;

/// Every file below `dir`, in order.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// What others wrote: it stays as it is.
fn is_vendored(path: &Path) -> bool {
    path.strip_prefix(root().join("console/vendor")).is_ok_and(|rest| rest.components().count() > 1)
}

fn is_markdown(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == "md")
}

/// A path as it stands in the repository.
fn name(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().display().to_string()
}

/// Every document that a reader may come to.
fn documents() -> Vec<PathBuf> {
    let top = std::fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().path());
    let mut all: Vec<_> = top.filter(|path| path.is_file()).collect();
    for folder in ["config", "console", "docs"] {
        all.extend(files(&root().join(folder)));
    }
    all.retain(|path| is_markdown(path) && !is_vendored(path));
    assert!(all.len() > 12, "{all:?}");
    all
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

/// The text without what stands between fences.
fn prose(text: &str) -> String {
    let parts = text.split("```");
    parts.step_by(2).collect()
}

/// Everything that may name a page.
fn sources() -> Vec<PathBuf> {
    let mut paths = vec![root().join("Cargo.toml"), root().join("Makefile"), root().join(".ci/run")];
    for folder in ["benches", "config", "console", "crates", "docs", "packaging", "scripts", "src", "systemd", "tests"]
    {
        paths.extend(files(&root().join(folder)));
    }
    paths.retain(|path| !is_vendored(path));
    paths
}
