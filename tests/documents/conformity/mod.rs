//! docs/conformity: the pages are what the tables beside them give, each provision has one row, and everything that a
//! row names exists. `TALLYBOX_BLESS=1 cargo test --features demo --test documents conformity` writes the pages anew.

mod evidence;
mod pages;
mod rules;
mod tables;

use super::root;
use tables::Tables;

#[test]
fn each_provision_has_one_row_and_no_row_claims_what_is_not_shown() {
    let mistakes = rules::mistakes(&Tables::load());
    assert!(mistakes.is_empty(), "docs/conformity: {mistakes:#?}");
}

#[test]
fn what_the_rows_name_exists() {
    let tables = Tables::load();
    let named: Vec<_> = tables.evidence().collect();
    assert!(named.len() > 150, "{}", named.len());
    let gone: Vec<_> = named
        .iter()
        .filter_map(|(place, item)| evidence::missing(item).map(|why| format!("{place}: {item}: {why}")))
        .collect();
    assert!(gone.is_empty(), "docs/conformity names what does not exist: {gone:#?}");
}

/// Tests in a row's last column are between backticks, as [`evidence`] reads them.
#[test]
fn what_the_threats_say_was_tried_exists() {
    let page = crate::text(&root().join("docs/threat-model.md"));
    let (_, tried) = page.split_once("\n## What was tried").unwrap();
    let named: Vec<_> = tried.split('`').skip(1).step_by(2).filter(|item| item.contains("::")).collect();
    assert!(named.len() > 30, "{named:?}");
    let gone: Vec<_> = named.iter().filter_map(|item| evidence::missing(item).map(|why| (item, why))).collect();
    assert!(gone.is_empty(), "docs/threat-model.md names what does not exist: {gone:#?}");
    // Each number that a row names is in the list below the tables, and the other way around.
    let rows = tried.lines().filter(|line| line.starts_with('|'));
    let cells = rows.filter_map(|row| row.trim_end_matches([' ', '|']).rsplit('|').next());
    let numbers = |text: &str| text.split(", ").filter_map(|word| word.trim().parse::<u8>().ok()).collect::<Vec<_>>();
    let used: std::collections::BTreeSet<_> = cells.flat_map(numbers).collect();
    let listed = tried.lines().filter_map(|line| line.split_once(". `")?.0.parse::<u8>().ok()).collect();
    assert_eq!(used, listed);
}

#[test]
fn the_pages_are_what_the_tables_give() {
    let folder = root().join("docs/conformity");
    for (name, text) in pages::all(&Tables::load()) {
        let path = folder.join(&name);
        if std::env::var_os("TALLYBOX_BLESS").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        let differs = kept.lines().zip(text.lines()).find(|(kept, text)| kept != text);
        assert!(
            kept == text,
            "docs/conformity/{name} is not what its table gives (TALLYBOX_BLESS=1 writes it anew); first difference: \
             {differs:#?}"
        );
    }
}
