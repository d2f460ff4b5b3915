//! Each page says for whom it is, and has no line that is longer than an editor shows.

use super::{LONGEST, documents, name, root, text};

#[test]
fn no_document_has_a_line_over_120_characters() {
    let mut long = Vec::new();
    for document in documents() {
        for (number, line) in text(&document).lines().enumerate() {
            // An address cannot be broken, and rows that are made of a table are not edited.
            let is_address = line.contains("://") && !line.trim().contains(' ');
            let is_made = name(&document).starts_with("docs/conformity/") && line.starts_with(['|', '-']);
            if line.chars().count() > LONGEST && !is_address && !is_made {
                long.push(format!("{}:{}: {}", name(&document), number + 1, line.chars().count()));
            }
        }
    }
    assert!(long.is_empty(), "lines over {LONGEST} characters: {long:#?}");
}

/// For whom a page may be. docs/README.md lists the pages by reader.
const READERS: [&str; 5] = ["integrators", "operators", "developers", "privacy officers", "everybody"];

/// For whom a page says that it is: its first line after the title begins like `For operators and integrators:`.
fn readers(text: &str) -> Vec<&str> {
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    let title = lines.next().is_some_and(|line| line.starts_with("# "));
    let first = lines.next().filter(|_| title).and_then(|line| line.strip_prefix("For ")).unwrap_or_default();
    let clause = first.split_inclusive([':', '.']).next().filter(|clause| clause.ends_with([':', '.']));
    READERS.into_iter().filter(|reader| clause.is_some_and(|clause| clause.contains(reader))).collect()
}

#[test]
fn each_page_says_for_whom_it_is() {
    assert_eq!(readers("# T\n\nFor operators and privacy officers: x"), ["operators", "privacy officers"]);
    assert_eq!(readers("# T\n\nFor developers. x"), ["developers"]);
    for silent in ["# T\n\nFor nobody: operators", "# T\n\nThis page: operators", "For operators: x\n\n# T"] {
        assert!(readers(silent).is_empty(), "{silent}");
    }
    // Decision records have a form of their own; the page that lists them says for whom they are.
    let pages = documents()
        .into_iter()
        .filter(|path| !name(path).starts_with("docs/decisions/") || path.ends_with("README.md"));
    let pages: Vec<_> = pages.filter(|path| path.parent() != Some(root())).collect();
    assert!(pages.len() > 8, "{pages:?}");
    let silent: Vec<_> = pages.iter().filter(|path| readers(&text(path)).is_empty()).map(|path| name(path)).collect();
    assert!(silent.is_empty(), "the first line after the title does not say for whom the page is: {silent:?}");
}
