//! The tables: what the box does (`mechanisms.toml`), and a file for each law, standard or policy.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use crate::{root, text};

/// Something that the box does, or shall do.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Mechanism {
    pub(super) en: String,
    pub(super) zh: String,
    pub(super) does: String,
    /// What shows it; the form of an item is in `evidence`.
    #[serde(default)]
    pub(super) shown: Vec<String>,
    /// It is designed, and not built.
    #[serde(default)]
    pub(super) planned: bool,
    pub(super) open: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Answer {
    Yes,
    /// In part, or in full but not shown in full.
    Part,
    No,
    NotApplicable,
    /// It is the duty of whoever runs the platform or sells the box.
    Platform,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Form {
    /// Number, what it asks, answer, mechanism, what shows it, what is open.
    Table,
    /// Implementation conformance statement: with status and Y, N or N/A.
    Ics,
    /// Implementation extra information for testing: several rows for each number.
    Ixit,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Row {
    /// The provision's number; in an IXIT with a slash and the entry's name.
    pub(super) id: String,
    /// As the standard's own table has it.
    pub(super) status: Option<String>,
    pub(super) asks: String,
    pub(super) zh: Option<String>,
    pub(super) answer: Answer,
    /// Keys of mechanisms.
    #[serde(default)]
    pub(super) by: Vec<String>,
    /// What the mechanisms do not say.
    pub(super) says: Option<String>,
    #[serde(default)]
    pub(super) shown: Vec<String>,
    /// Numbers of the IXIT tables that say more.
    #[serde(default)]
    pub(super) ixit: Vec<u8>,
    pub(super) open: Option<String>,
}

/// A law, a standard, or a policy.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Set {
    pub(super) title: String,
    /// Its title in Chinese; each row then has one, too.
    pub(super) zh: Option<String>,
    pub(super) form: Form,
    /// What a reader has to know first.
    pub(super) about: Vec<String>,
    /// Where the list of numbers comes from, and how far the wording was looked up.
    pub(super) source: String,
    pub(super) provisions: Vec<String>,
    #[serde(default)]
    pub(super) titles: BTreeMap<String, String>,
    pub(super) row: Vec<Row>,
}

#[derive(Clone, Debug)]
pub(super) struct Tables {
    pub(super) mechanisms: BTreeMap<String, Mechanism>,
    /// By the file's name without its ending.
    pub(super) sets: BTreeMap<String, Set>,
}

impl Tables {
    pub(super) fn load() -> Self {
        let folder = root().join("docs/conformity");
        let mut sets = BTreeMap::new();
        for path in
            super::super::files(&folder).into_iter().filter(|path| path.extension().is_some_and(|end| end == "toml"))
        {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            if name != "mechanisms" {
                sets.insert(name, read(&path));
            }
        }
        assert!(sets.len() > 5, "{:?}", sets.keys());
        Self { mechanisms: read(&folder.join("mechanisms.toml")), sets }
    }

    /// Everything that shows something, and where that is said.
    pub(super) fn evidence(&self) -> impl Iterator<Item = (String, &String)> {
        let mechanisms = self.mechanisms.iter().map(|(key, mechanism)| (format!("mechanisms {key}"), &mechanism.shown));
        let rows = self
            .sets
            .iter()
            .flat_map(|(name, set)| set.row.iter().map(move |row| (format!("{name} {}", row.id), &row.shown)));
        mechanisms.chain(rows).flat_map(|(place, shown)| shown.iter().map(move |item| (place.clone(), item)))
    }
}

#[track_caller]
fn read<T: for<'a> Deserialize<'a>>(path: &Path) -> T {
    toml::from_str(&text(path)).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
