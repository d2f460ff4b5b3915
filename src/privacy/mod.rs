//! What leaves the box and what it stores, each datum with its purpose, legal basis, recipient, retention and category:
//! made from the types that carry it. A field or fact that is added without a line here does not compile.
//!
//! A datum's name is the last part of its MQTT topic, or its store, and then its path in the JSON without indices:
//! `telemetry.fps`, `event.fact.session`. What is no JSON has one name for each part that can be told apart.

mod connections;
mod facts;
mod files;
mod home_assistant;
mod ledger;
mod messages;
mod notes;
mod render;
mod settings;
mod stream;
#[cfg(test)]
mod tests;
mod vocabulary;

use crate::config::Config;
use crate::text::{Language, Text};

pub(crate) use render::markdown;
pub use render::{Item, Kind, Policy, Report};
pub use settings::Settings;
pub use vocabulary::{Basis, Category, Recipient, Retention};

/// What a datum is for, on which basis, and of which category it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Purpose {
    /// What it is collected for.
    pub text: Text,
    /// Why it may be.
    pub basis: Basis,
    /// How much it says about people.
    pub category: Category,
}

/// One datum, disclosed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datum {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub purpose: Purpose,
}

/// Data with one recipient and one retention.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// What all names in it begin with: a topic's last part, or a store.
    pub name: &'static str,
    /// What it is, for a heading.
    pub title: Text,
    /// Who gets it.
    pub recipient: Recipient,
    /// How long it is kept.
    pub retention: Retention,
    /// What is in it.
    pub data: Vec<Datum>,
}

/// A purpose on one line.
const fn purpose(basis: Basis, category: Category, en: &'static str, zh: &'static str) -> Purpose {
    Purpose { text: Text::new(en, zh), basis, category }
}

/// The fields of a struct with their purposes, as `(field, Purpose)`; the pattern is total, so that a new field does
/// not compile. Fields under `nested` have rows of their own elsewhere.
macro_rules! fields {
    ($type:ident {
        $($field:ident: $basis:ident $category:ident $en:literal $zh:literal),* $(,)?
    } $(nested { $($nested:ident),+ $(,)? })?) => {{
        // The compiler holds the pattern against the type.
        const _: fn(&$type) = |value| { let $type { $($field: _,)* $($($nested: _,)+)? } = value; };
        [$((
            stringify!($field),
            $crate::privacy::purpose($crate::privacy::Basis::$basis, $crate::privacy::Category::$category, $en, $zh),
        )),*]
    }};
}

/// Data that no type has, by the names that they have on the wire.
macro_rules! names {
    ($($name:literal: $basis:ident $category:ident $en:literal $zh:literal),+ $(,)?) => {
        [$((
            $name,
            $crate::privacy::purpose($crate::privacy::Basis::$basis, $crate::privacy::Category::$category, $en, $zh),
        )),+]
    };
}

use {fields, names};

/// `SessionStarted` and `session_started` as they are written out: `session-started`.
fn written(name: &str) -> String {
    let mut text = String::new();
    for (index, letter) in name.char_indices() {
        match letter {
            '_' => text.push('-'),
            _ if letter.is_ascii_uppercase() => {
                if index > 0 {
                    text.push('-');
                }
                text.push(letter.to_ascii_lowercase());
            }
            _ => text.push(letter),
        }
    }
    text
}

/// The data of fields below `prefix`, by the names that serde writes.
fn below(prefix: &str, fields: &[(&str, Purpose)]) -> Vec<Datum> {
    let name = |field: &str| format!("{prefix}.{}", written(field.trim_start_matches("r#")));
    fields.iter().map(|(field, purpose)| Datum { name: name(field), purpose: *purpose }).collect()
}

/// The data of `lines` below `prefix`, by the names as they are; an empty one is `prefix` itself.
fn named(prefix: &str, lines: &[(&str, Purpose)]) -> Vec<Datum> {
    let name = |name: &str| if name.is_empty() { prefix.to_owned() } else { format!("{prefix}.{name}") };
    lines.iter().map(|(line, purpose)| Datum { name: name(line), purpose: *purpose }).collect()
}

/// Everything, whatever is configured.
pub fn parts() -> Vec<Part> {
    let mut all = stream::parts();
    all.extend(messages::parts());
    all.push(home_assistant::part());
    all.extend(connections::parts());
    all.extend(ledger::parts());
    all.extend(notes::parts());
    all.extend(files::parts());
    all
}

/// What a box with this configuration collects.
pub fn report(config: &Config, language: Language) -> Report {
    render::report(&Settings::of(config), language)
}
