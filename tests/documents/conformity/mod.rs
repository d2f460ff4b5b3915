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
