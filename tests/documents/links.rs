//! Each link leads somewhere, and each document is reached by one.

use std::collections::BTreeSet;
use std::path::Path;

use super::{documents, name, prose, root, text};

/// Targets of `[words](target)`.
fn links(text: &str) -> Vec<String> {
    let prose = prose(text);
    let behind = prose.split("](").skip(1);
    behind.filter_map(|rest| rest.split_once(')')).map(|(target, _)| target.to_owned()).collect()
}

/// Headings as GitHub names them in a link.
pub(crate) fn anchors(text: &str) -> BTreeSet<String> {
    let headings = prose(text).lines().filter(|line| line.starts_with('#')).map(str::to_owned).collect::<Vec<_>>();
    let name = |heading: &String| {
        let words = heading.trim_start_matches('#').trim().to_lowercase();
        let plain = words.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        plain.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.iter().map(name).collect()
}

#[test]
fn each_link_leads_somewhere() {
    let mut lost = Vec::new();
    let mut count = 0;
    for document in documents() {
        for link in links(&text(&document)) {
            if link.contains("://") {
                continue;
            }
            count += 1;
            let (path, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = if path.is_empty() { document.clone() } else { document.parent().unwrap().join(path) };
            let known = target.exists() && (anchor.is_empty() || anchors(&text(&target)).contains(anchor));
            if !known {
                lost.push(format!("{}: {link}", document.display()));
            }
        }
    }
    assert!(lost.is_empty() && count > 20, "{count} links, and these lead nowhere: {lost:#?}");
}

/// What makes the package's documents takes links line by line.
#[test]
fn each_link_is_on_one_line() {
    let mut broken = Vec::new();
    for document in documents() {
        for line in prose(&text(&document)).lines() {
            let pieces: Vec<_> = line.split("](").collect();
            if pieces.windows(2).any(|pair| !pair[0].contains('[') || !pair[1].contains(')')) {
                broken.push(format!("{}: {line}", name(&document)));
            }
        }
    }
    assert!(broken.is_empty(), "links over two lines: {broken:#?}");
}

#[test]
fn each_document_is_reached_from_the_readme() {
    let (mut reached, mut next) = (BTreeSet::new(), vec![root().join("README.md")]);
    while let Some(document) = next.pop() {
        if !reached.insert(document.canonicalize().unwrap()) {
            continue;
        }
        let dir = document.parent().unwrap().to_owned();
        let markdown = |link: &String| {
            link.split('#').next().is_some_and(|path| Path::new(path).extension().is_some_and(|end| end == "md"))
        };
        next.extend(
            links(&text(&document))
                .iter()
                .filter(|link| markdown(link))
                .map(|link| dir.join(link.split('#').next().unwrap())),
        );
    }
    let lost: Vec<_> =
        documents().into_iter().filter(|path| !reached.contains(&path.canonicalize().unwrap())).collect();
    assert!(lost.is_empty(), "no way leads from README.md to {lost:?}");
}
